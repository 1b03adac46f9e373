// The console: one user, one moment, and what the service says of them.

import * as api from "./api.js";
import * as chart from "./chart.js";
import * as format from "./format.js";
import * as memory from "./memory.js";
import { byId } from "./dom.js";
import { curveOf } from "./curves.js";
import { N_COLOURS, Slots } from "./palette.js";
import { clearProblem, showProblem } from "./problem.js";
import { awaitSlate, clearSlate, dropSkeletons, showSlate } from "./slate.js";
import { horizonChoice, keyPanel, recentList, themeButton } from "./tools.js";
import { showWeights } from "./weights.js";

const K = 10;
const SETTLE_MS = 120;
const STEPS = 120;

const fresh = () => ({
  reply: null, // of the interests, as of now
  isStale: true, // there may be a newer one
  curves: [],
  slots: new Slots(),
  offset: 0, // seconds from now to the chosen moment
  version: null, // the least that answers must know
  requestId: null, // of the slate that events answer
});
let user = null;
let state = fresh();
let horizon = 30 * format.DAY;
let timer = 0;
let underway = null;

/** What is asked for now replaces what was asked for before. */
function begin() {
  clearTimeout(timer);
  underway?.abort();
  underway = new AbortController();
  byId("found").setAttribute("aria-busy", "true");
  return underway;
}

async function guarded(work, again) {
  const mine = begin();
  try {
    await work(mine.signal);
    if (mine === underway) clearProblem();
  } catch (error) {
    if (error.name === "AbortError" || mine !== underway) return;
    dropSkeletons();
    byId("found").hidden = state.reply === null;
    showProblem(error, again);
  } finally {
    if (mine === underway) byId("found").removeAttribute("aria-busy");
  }
}

function open(id) {
  user = id;
  state = fresh();
  byId("user").value = id;
  byId("who").textContent = id;
  byId("who-more").textContent = "";
  byId("weights").replaceChildren();
  byId("welcome").hidden = true;
  byId("found").hidden = false;
  clearSlate();
  moveTo(0);
  return refresh({ focuses: true });
}

/** Ask for everything anew: interests of now, and the slate of the chosen moment. */
function refresh({ focuses = false, glides = false } = {}) {
  awaitSlate();
  state.isStale = true;
  return guarded(async (signal) => {
    const [reply, profile] = await Promise.all([api.interests(user, signal), api.profile(user, signal)]);
    take(reply, profile);
    drawChart({ glides });
    if (focuses) byId("found").focus({ preventScroll: true });
    await loadSlate(signal);
  }, () => refresh({ focuses, glides }));
}

function take(reply, profile) {
  if (state.reply === null) {
    memory.rememberUser(user);
    recentList(open, user);
    byId("found").hidden = false;
  }
  state.reply = reply;
  state.isStale = false;
  state.curves = reply.interests.map((interest) => curveOf(interest, reply));
  state.strongest = state.curves.slice(0, N_COLOURS);
  state.slotOf = state.slots.assign(state.strongest.map((curve) => curve.node));
  const events = `${format.whole(profile.n_events)} event${profile.n_events === 1 ? "" : "s"}`;
  const last = profile.last_event_at === null ? "" : `, the last ${format.ago(reply.as_of - profile.last_event_at)}`;
  byId("who-more").textContent = profile.cold_start ? "Nothing is known yet" : events + last;
  showMoment();
}

async function loadSlate(signal) {
  const asOf = state.offset === 0 ? null : state.reply.as_of + state.offset;
  const slate = await api.slate(user, { asOf, version: state.version, k: K }, signal);
  state.requestId = slate.request_id;
  const changed = showSlate(slate, verb(), send);
  byId("live").textContent = `${format.moment(state.offset)}: ${changed}`;
}

const verb = () => byId("kind").value;

/** Send an event; sent again it is the same one, and counts once. */
async function send(item, button) {
  if (button.getAttribute("aria-disabled") !== null) return;
  const of = user;
  const event = { user_id: of, item_id: item.item_id, kind: verb(), event_id: api.freshId(), request_id: state.requestId, rank: item.rank };
  const post = async () => {
    button.setAttribute("aria-disabled", "true");
    try {
      const reply = await api.post(event);
      if (user !== of) return;
      state.version = reply.version;
      clearProblem();
      await refresh({ glides: true });
    } catch (error) {
      showProblem(error, post);
    } finally {
      button.removeAttribute("aria-disabled");
    }
  };
  await post();
}

function drawChart(how = {}) {
  const shown = state.strongest.map((curve) => ({ curve, slot: state.slotOf.get(curve.node) }));
  const note = byId("chart-note");
  note.textContent = shown.length === 0 ? "No curves yet" : "";
  chart.draw({ now: state.reply.as_of, horizon, shown }, how).catch(() => {
    note.textContent = "The chart could not be drawn. The table below says the same.";
  });
}

/** Choose a moment, so many seconds from now. */
function moveTo(offset) {
  state.offset = offset;
  byId("offset").value = String(Math.round((offset / horizon) * STEPS));
  showMoment();
}

function showMoment() {
  const { offset, reply } = state;
  const when = format.moment(offset);
  byId("when").textContent = when;
  byId("when-date").textContent = reply === null ? "" : format.date(reply.as_of + offset);
  byId("offset").setAttribute("aria-valuetext", reply === null ? when : `${when}, ${format.date(reply.as_of + offset)}`);
  byId("slate-title").textContent = offset === 0 ? "Slate now" : `Slate ${when}`;
  byId("back").hidden = offset === 0;
  chart.mark(offset, horizon);
  if (reply !== null) showWeights({ reply, curves: state.curves, slots: state.slotOf, offset });
}

/** The same by a person's hand: the slate follows once the hand rests. */
function turnTo(offset) {
  if (state.reply === null || offset === state.offset) return;
  moveTo(offset);
  begin();
  timer = setTimeout(() => (state.isStale ? refresh() : guarded(loadSlate, () => refresh())), SETTLE_MS);
}

const turnToShare = (share) => turnTo((Math.round(share * STEPS) / STEPS) * horizon);

function setHorizon(seconds) {
  const offset = Math.min(state.offset, seconds);
  horizon = seconds;
  if (state.reply === null) return;
  drawChart();
  if (offset === state.offset) moveTo(offset);
  else turnTo(offset);
}

async function greet() {
  try {
    const { n_items, n_users } = await api.health();
    byId("service").textContent = `${format.whole(n_items)} items · ${format.whole(n_users)} users`;
  } catch {
    byId("service").textContent = "";
  }
}

byId("finder").addEventListener("submit", (event) => {
  event.preventDefault();
  open(byId("user").value);
});
byId("offset").addEventListener("input", () => turnToShare(Number(byId("offset").value) / STEPS));
byId("back").addEventListener("click", () => {
  turnTo(0);
  byId("offset").focus();
});
byId("kind").addEventListener("change", () => {
  for (const button of document.querySelectorAll("#items .title")) {
    button.setAttribute("aria-label", `${verb()} ${button.textContent}`);
  }
});
chart.draggable(turnToShare);
horizonChoice(horizon, setHorizon);
themeButton(chart.redraw);
keyPanel(() => {
  greet();
  if (user !== null) refresh();
});
recentList(open);
greet();
requestAnimationFrame(() => setTimeout(() => chart.load().catch(() => null)));
