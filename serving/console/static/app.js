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
import { User, Visitor } from "./subjects.js";
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
  requestId: null, // of the slate that events answer
});
let subject = null; // whom it is about
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

function open(whom) {
  subject = whom;
  state = fresh();
  byId("user").value = whom.id ?? "";
  byId("who").textContent = whom.title;
  byId("who-more").textContent = "";
  byId("weights").replaceChildren();
  byId("welcome").hidden = true;
  byId("found").hidden = false;
  clearSlate();
  moveTo(0);
  return refresh({ focuses: true });
}

const openUser = (id) => open(new User(id));

/** Ask for everything anew: interests of now, and the slate of the chosen moment. */
function refresh({ focuses = false, glides = false } = {}) {
  awaitSlate();
  state.isStale = true;
  return guarded(async (signal) => {
    take(await subject.look(signal));
    drawChart({ glides });
    if (focuses) byId("found").focus({ preventScroll: true });
    await loadSlate(signal);
  }, () => refresh({ focuses, glides }));
}

function take({ reply, nEvents, lastAt }) {
  if (state.reply === null) {
    if (subject.id !== null) memory.rememberUser(subject.id);
    recentList(openUser, subject.id);
    byId("found").hidden = false;
  }
  state.reply = reply;
  state.isStale = false;
  state.curves = reply.interests.map((interest) => curveOf(interest, reply));
  state.strongest = state.curves.slice(0, N_COLOURS);
  state.slotOf = state.slots.assign(state.strongest.map((curve) => curve.node));
  const events = `${format.whole(nEvents)} event${nEvents === 1 ? "" : "s"}`;
  const last = lastAt === null ? "" : `, the last ${format.ago(reply.as_of - lastAt)}`;
  byId("who-more").textContent = reply.cold_start ? "Nothing is known yet" : events + last;
  showMoment();
}

async function loadSlate(signal) {
  const asOf = state.offset === 0 ? null : state.reply.as_of + state.offset;
  const slate = await subject.slate(asOf, K, signal);
  state.requestId = slate.request_id;
  const changed = showSlate(slate, verb(), send);
  byId("live").textContent = `${format.moment(state.offset)}: ${changed}`;
}

const verb = () => byId("kind").value;

async function send(item, button) {
  if (button.getAttribute("aria-disabled") !== null) return;
  const whom = subject;
  const act = whom.doing(item, verb(), state.requestId);
  const attempt = async () => {
    button.setAttribute("aria-disabled", "true");
    try {
      await act();
      if (whom !== subject) return;
      clearProblem();
      await refresh({ glides: true });
    } catch (error) {
      showProblem(error, attempt);
    } finally {
      button.removeAttribute("aria-disabled");
    }
  };
  await attempt();
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
  openUser(byId("user").value);
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
  if (subject !== null) refresh();
});
recentList(openUser);
byId("visit").addEventListener("click", () => open(new Visitor()));
greet();
requestAnimationFrame(() => setTimeout(() => chart.load().catch(() => null)));
