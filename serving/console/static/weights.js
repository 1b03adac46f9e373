// What each interest weighs at the chosen moment: the chart, in words and numbers.

import { byId, el, glide } from "./dom.js";
import { halvesIn } from "./curves.js";
import * as format from "./format.js";

const MAX_ROWS = 8;
const DEAD = 0.05; // as the service has it: a twentieth of a click of this moment

/** @param view `{ reply, curves, slots, offset }` */
export function showWeights(view) {
  const { reply, curves, slots, offset } = view;
  const box = byId("weights");
  if (curves.length === 0) {
    box.replaceChildren(el("p", { class: "empty", text: nothing(reply) }));
    return;
  }
  const t = reply.as_of + offset;
  const rows = curves
    .map((curve, i) => ({ curve, interest: reply.interests[i], weight: curve.at(t), now: curve.at(reply.as_of) }))
    .sort((a, b) => b.weight - a.weight)
    .slice(0, MAX_ROWS);
  const most = Math.max(DEAD, ...curves.map((curve) => curve.at(reply.as_of)));
  let body = box.querySelector("tbody");
  if (body === null) {
    body = el("tbody");
    box.replaceChildren(table(body), el("p", { class: "quiet more" }));
  }
  glide(body, () => body.replaceChildren(...rows.map((row) => line(row, { t, most, slots, reply }))));
  box.querySelector(".more").textContent = rest(reply, curves.length - rows.length);
}

const nothing = (reply) =>
  reply.note ?? (reply.cold_start
    ? "No interests yet. Click an item of the slate: it becomes the first."
    : "The events held touch no interest of the catalog.");

function rest(reply, n) {
  const more = n > 0 ? `${n} weaker ${n === 1 ? "interest is" : "interests are"} not listed. ` : "";
  const older = reply.is_whole ? "" : "Of a history this long, the latest events count here.";
  return more + older;
}

function table(body) {
  const head = ["Interest", "Weight", "Halves in"].map((text) => el("th", { scope: "col", text }));
  const caption = el("caption", { class: "unseen", text: "Weight of each interest at the chosen moment; one click of now weighs 1" });
  return el("table", {}, caption, el("thead", {}, el("tr", {}, ...head)), body);
}

function line({ curve, interest, weight, now }, { t, most, slots, reply }) {
  const slot = slots.get(curve.node);
  const half = halvesIn(curve, t, reply.long_half_life_s);
  const told = [...new Set(interest.events.map((event) => event.title ?? event.item_id))];
  const name = el("th", { scope: "row" },
    el("span", { class: "swatch", data: { slot: slot ?? "none" }, "aria-hidden": "true" }),
    el("span", { class: "label", text: curve.label }),
    badge(interest),
    el("span", { class: "because quiet", text: told.join(" · "), title: told.join("\n") }));
  const width = (value) => `${Math.min(100, (100 * value) / most).toFixed(2)}%`;
  const bar = el("span", { class: "bar", data: { slot: slot ?? "none" }, "aria-hidden": "true", vars: { "--now-width": width(now), "--width": width(weight) } });
  return el("tr", { class: weight < DEAD ? "dead" : "", data: { key: String(curve.node), weight: String(weight) } },
    name,
    el("td", { class: "weight" }, el("span", { class: "figure", text: format.number(weight) }), bar),
    el("td", { class: "half", text: half === null ? "gone" : format.duration(half) }));
}

function badge({ wish }) {
  const said = wish === null || wish === undefined ? [] : [wish.mute && "muted", wish.pin && "pinned", wish.boost !== null && "boosted"];
  const words = said.filter(Boolean);
  return words.length > 0 ? el("span", { class: "badge", text: words.join(", ") }) : null;
}
