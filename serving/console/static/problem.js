// What went wrong, in the service's own words, and what can be done.

import { Problem } from "./api.js";
import { byId, el } from "./dom.js";

export function clearProblem() {
  byId("problem").replaceChildren();
}

/** @param again repeats what failed. */
export function showProblem(error, again) {
  if (!(error instanceof Problem)) console.error(error);
  const told = error instanceof Problem ? error : { status: 0, title: "The console failed", detail: String(error), remedy: "Load the page anew" };
  const { text, remedy } = divided(told);
  const acts = [el("button", { type: "button", text: "Try again", on: { click: again } })];
  if (told.status === 401 || told.status === 403) acts.unshift(el("button", { type: "button", text: "Enter an API key", on: { click: askForKey } }));
  byId("problem").replaceChildren(
    el("div", { class: "problem" },
      el("p", { class: "problem-title", text: told.status > 0 ? `${told.title} (${told.status})` : told.title }),
      el("p", { text }),
      remedy === "" ? null : el("p", { class: "remedy", text: remedy }),
      el("p", { class: "acts" }, ...acts, el("button", { type: "button", class: "plain", text: "Dismiss", on: { click: clearProblem } }))));
}

/** The service says "what: problem. remedy"; the last sentence is what can be done. */
function divided({ detail, remedy }) {
  if (remedy) return { text: detail, remedy };
  const cut = detail.lastIndexOf(". ");
  return cut < 0 ? { text: detail, remedy: "" } : { text: detail.slice(0, cut + 1), remedy: detail.slice(cut + 2) };
}

function askForKey() {
  byId("key-panel").open = true;
  byId("key").focus();
}
