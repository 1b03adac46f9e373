// The small controls: how far ahead, light or dark, the API key, users of this session.

import * as memory from "./memory.js";
import { byId, el } from "./dom.js";
import { DAY } from "./format.js";

const HORIZONS = [["week", 7], ["month", 30], ["quarter", 91], ["year", 365]];

export function horizonChoice(chosen, act) {
  for (const [name, days] of HORIZONS) {
    const input = el("input", { type: "radio", name: "horizon", value: String(days), checked: days * DAY === chosen });
    input.addEventListener("change", () => act(days * DAY));
    byId("horizon").append(el("label", {}, input, el("span", { text: name })));
  }
}

export function themeButton(changed) {
  const button = byId("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (memory.theme.get() ?? (system.matches ? "dark" : "light")) === "dark";
  const show = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
  };
  button.addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    memory.theme.set(theme);
    document.documentElement.dataset.theme = theme;
    show();
    changed();
  });
  system.addEventListener("change", () => {
    show();
    changed();
  });
  show();
}

export function keyPanel(changed) {
  const panel = byId("key-panel");
  const show = () => {
    byId("key-state").textContent = memory.key.get() === "" ? "API key" : "API key set";
  };
  const close = () => {
    panel.open = false;
    panel.querySelector("summary").focus();
  };
  byId("key").value = memory.key.get();
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    memory.key.set(byId("key").value.trim());
    show();
    close();
    changed();
  });
  panel.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  show();
}

/** Users that were looked at, but for the one who is shown. */
export function recentList(open, shown = null) {
  const users = memory.recentUsers().filter((id) => id !== shown);
  const chips = users.map((id) => el("button", { type: "button", class: "chip", text: id, on: { click: () => open(id) } }));
  byId("recent").replaceChildren(...(chips.length > 0 ? ["Recent", ...chips] : []));
}
