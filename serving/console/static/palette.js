// Colours from the style sheet, so that there is one place for light and dark.

import { el } from "./dom.js";

export const N_COLOURS = 6;

/** A colour of the style sheet as it counts now, as `rgb(...)` or `rgba(...)`. */
export function ink(name) {
  const probe = el("span", { hidden: true, vars: { color: `var(--${name})` } });
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** The colour of a curve, and the same as a veil below it. */
export function colours(slot) {
  const line = ink(`curve-${slot}`);
  return { line, veil: line.replace("rgb(", "rgba(").replace(")", ", .07)") };
}

/** Who has which colour: an interest keeps its own for as long as it is among the strongest. */
export class Slots {
  #of = new Map();

  /** Node -> slot of the nodes given. */
  assign(nodes) {
    const kept = new Map(nodes.filter((node) => this.#of.has(node)).map((node) => [node, this.#of.get(node)]));
    const taken = new Set(kept.values());
    const free = Array.from({ length: N_COLOURS }, (_, slot) => slot).filter((slot) => !taken.has(slot));
    for (const node of nodes) if (!kept.has(node)) kept.set(node, free.shift());
    this.#of = kept;
    return kept;
  }
}
