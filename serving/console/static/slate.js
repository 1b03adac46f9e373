// The slate: items, why they are there, and what their scores are the sum of.

import { byId, el, glide } from "./dom.js";
import * as format from "./format.js";

const N_PART_COLOURS = 4;
const OTHER = "other";
let names = []; // of the parts that weigh most in the first slate, in the order of their colours
let shown = null; // item id -> rank of the slate that stands there

/** Forget what was there, as for another user. */
export function clearSlate() {
  [names, shown] = [[], null];
  byId("items").replaceChildren();
  byId("parts-key").replaceChildren();
  byId("slate-note").textContent = "";
}

export function awaitSlate() {
  if (byId("items").children.length > 0) return;
  byId("items").replaceChildren(...Array.from({ length: 6 }, () => el("li", { class: "skeleton", "aria-hidden": "true" })));
}

export const dropSkeletons = () => document.querySelectorAll("#items .skeleton").forEach((row) => row.remove());

/** Show a slate; `act(item, button)` is called for a click. Returns what changed, in words. */
export function showSlate(slate, verb, act) {
  const list = byId("items");
  const focused = [...list.children].indexOf(document.activeElement?.closest("#items li"));
  const opened = new Set([...list.querySelectorAll("details[open]")].map((why) => why.closest("li").dataset.key));
  const before = shown;
  const most = Math.max(1e-9, ...slate.items.map((item) => positive(item)));
  rememberParts(slate.items);
  dropSkeletons();
  glide(list, () => {
    list.replaceChildren(...slate.items.map((item) => row(item, { before, most, verb, act, isOpen: opened.has(item.item_id) })));
  });
  if (focused >= 0) list.children[Math.min(focused, slate.items.length - 1)]?.querySelector("button").focus({ preventScroll: true });
  shown = new Map(slate.items.map((item) => [item.item_id, item.rank]));
  byId("slate-note").textContent = note(slate);
  byId("parts-key").replaceChildren(...key(slate.items).map(([part, name]) => el("span", { data: { part }, text: plain(name) })));
  return changes(slate, before);
}

/** Slot and name of what bars are made of. */
function key(items) {
  const hasMore = items.some((item) => Object.keys(item.parts).length > names.length);
  return [...names.entries(), ...(hasMore ? [[OTHER, OTHER]] : [])];
}

function note(slate) {
  const said = [];
  if (slate.degraded) said.push("The profile could not be read; this is what is trending.");
  else if (slate.cold_start) said.push("Nothing is known yet: this is what is trending.");
  if (slate.reason) said.push(`${slate.reason}.`);
  if (slate.items.length === 0) said.push("There is nothing to show.");
  return said.join(" ");
}

function changes(slate, before) {
  const first = slate.items[0]?.title ?? "nothing";
  if (before === null) return `Slate of ${slate.items.length} items. First: ${first}.`;
  const fresh = slate.items.filter((item) => !before.has(item.item_id)).length;
  return fresh === 0 ? `Same items. First: ${first}.` : `${fresh} new in the slate. First: ${first}.`;
}

const positive = (item) => Object.values(item.parts).reduce((sum, value) => sum + Math.max(0, value), 0);

function rememberParts(items) {
  if (names.length > 0) return;
  const total = new Map();
  for (const [name, value] of items.flatMap((item) => Object.entries(item.parts))) {
    total.set(name, (total.get(name) ?? 0) + Math.abs(value));
  }
  names = [...total.keys()].sort((a, b) => total.get(b) - total.get(a)).slice(0, N_PART_COLOURS);
}

const plain = (name) => name.replaceAll("_", " ");

function row(item, { before, most, verb, act, isOpen }) {
  const button = el("button", { type: "button", class: "title", text: item.title, "aria-label": `${verb} ${item.title}` });
  button.addEventListener("click", () => act(item, button));
  return el("li", { data: { key: item.item_id } },
    el("span", { class: "rank" }, String(item.rank), moved(item, before)),
    el("div", { class: "what" },
      button,
      el("p", { class: "reason", text: item.reason?.text ?? "" }),
      strip(item, most),
      why(item, isOpen)));
}

function moved(item, before) {
  if (before === null) return null;
  const by = before.has(item.item_id) ? before.get(item.item_id) - item.rank : null;
  if (by === 0) return null;
  const [mark, word, kind] = by === null ? ["new", "new", "new"] : by > 0 ? [`▲${by}`, `up ${by}`, "up"] : [`▼${-by}`, `down ${-by}`, "down"];
  return el("span", { class: `moved ${kind}` }, el("span", { "aria-hidden": "true", text: mark }), el("span", { class: "unseen", text: word }));
}

/** The parts that speak for an item, as a bar; what speaks against it is told in numbers. */
function strip(item, most) {
  const others = Object.keys(item.parts).filter((name) => !names.includes(name));
  const rest = others.reduce((sum, name) => sum + Math.max(0, item.parts[name]), 0);
  const pieces = [...names.map((name, i) => [i, item.parts[name] ?? 0]), [OTHER, rest]]
    .filter(([, value]) => value > 0)
    .map(([part, value]) => el("i", { data: { part }, vars: { "--width": `${((100 * value) / most).toFixed(2)}%` } }));
  return el("span", { class: "strip", "aria-hidden": "true" }, ...pieces);
}

function why(item, isOpen) {
  const parts = Object.entries(item.parts)
    .filter(([, value]) => Math.abs(value) >= 5e-4)
    .sort(([, a], [, b]) => Math.abs(b) - Math.abs(a))
    .map(([name, value]) => [plain(name), signed(value)]);
  const told = [...parts, ["score", signed(item.score)], ["found by", item.sources.join(", ")]];
  if (item.rules.length > 0) told.push(["rules", item.rules.join(", ")]);
  if (item.reason?.fades_at) told.push(["its reason halves", format.date(item.reason.fades_at)]);
  const list = el("dl", {}, ...told.flatMap(([name, text]) => [el("dt", { text: name }), el("dd", { text })]));
  const summary = el("summary", {}, "Score", el("span", { class: "unseen", text: ` of ${item.title}` }), ` ${format.number(item.score)}`);
  return el("details", { class: "why", open: isOpen }, summary, list);
}

const signed = (value) => `${value < 0 ? "−" : ""}${Math.abs(value).toFixed(3)}`;
