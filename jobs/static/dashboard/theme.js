// Before the first paint, so that a page does not flash in the other theme. No choice: the system's.
"use strict";
(() => {
  const KEY = "haulway.theme";
  const root = document.documentElement;
  const set = (name) => { if (name === "light" || name === "dark") root.dataset.theme = name; else delete root.dataset.theme; };
  let stored = null;
  try { stored = localStorage.getItem(KEY); } catch { /* storage may be forbidden: the system's theme it is */ }
  set(stored);
  window.haulwayTheme = {
    get: () => root.dataset.theme || "system",
    next() {
      const name = { system: "light", light: "dark", dark: "system" }[this.get()];
      set(name);
      try { localStorage.setItem(KEY, name); } catch { /* it holds for this page then */ }
      document.dispatchEvent(new CustomEvent("haulway:theme"));
      return name;
    },
  };
})();
