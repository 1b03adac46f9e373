// Runs before the first paint, so that a chosen theme does not flash.
"use strict";

(() => {
  try {
    const chosen = sessionStorage.getItem("halflife.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // Storage may be forbidden; then the system's theme counts.
  }
})();
