// What makes a page handy: times that stay true, copying, asking before what cannot be undone, selecting rows.
"use strict";
(() => {
  // --- times -------------------------------------------------------------------------------------------------------
  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const KEY = "haulway.times";
  let mode = "relative";
  try { mode = localStorage.getItem(KEY) || mode; } catch { /* relative then */ }

  function relative(milliseconds) {
    const seconds = Math.abs(milliseconds) / 1000;
    if (seconds < 1) return "now";
    let words = "";
    for (const [place, [size, unit]] of UNITS.entries()) {
      if (seconds < size) continue;
      const whole = Math.floor(seconds / size);
      words = `${whole} ${unit}`;
      const [small, smallUnit] = UNITS[place + 1] || [1, ""];
      const rest = Math.floor((seconds % size) / small);
      if (smallUnit && whole < 10 && rest) words += ` ${rest} ${smallUnit}`;
      break;
    }
    return milliseconds > 0 ? `${words} ago` : `in ${words}`;
  }

  function times(root = document) {
    for (const element of root.querySelectorAll("time[datetime]")) {
      const at = new Date(element.dateTime);
      if (element.dataset.lasting !== undefined) {
        element.textContent = relative(Date.now() - at).replace(" ago", "").replace("now", "0 s");
        element.title = absolute.format(at);
        continue;
      }
      const words = mode === "relative" ? relative(Date.now() - at) : absolute.format(at);
      if (element.textContent !== words) element.textContent = words;
      const title = mode === "relative" ? absolute.format(at) : relative(Date.now() - at);
      if (element.title !== title) element.title = title;
    }
  }
  function turnTimes() {
    mode = mode === "relative" ? "absolute" : "relative";
    try { localStorage.setItem(KEY, mode); } catch { /* for this page */ }
    times();
  }

  // --- copying -----------------------------------------------------------------------------------------------------
  async function copy(button) {
    const text = document.getElementById(button.dataset.copy)?.textContent ?? button.dataset.text ?? "";
    const said = button.textContent;
    try {
      if (navigator.clipboard) await navigator.clipboard.writeText(text);
      else copyByHand(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => { button.textContent = said; }, 1500);
  }
  // Over plain HTTP, as on a machine at home, browsers offer no clipboard but this.
  function copyByHand(text) {
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    if (!done) throw new Error("not copied");
  }

  // --- asking first ------------------------------------------------------------------------------------------------
  function ask(button) {
    const dialog = document.getElementById("ask");
    dialog.querySelector("p").textContent = button.dataset.confirm.replace("{n}", String(selected().length));
    dialog.querySelector("[value=yes]").textContent = button.dataset.yes || button.textContent.trim();
    dialog.returnValue = "";
    dialog.showModal();
    dialog.addEventListener("close", () => {
      if (dialog.returnValue !== "yes") return;
      button.dataset.asked = "yes";
      button.form.requestSubmit(button);
      delete button.dataset.asked;
    }, { once: true });
  }

  // --- selecting rows ----------------------------------------------------------------------------------------------
  const boxes = () => [...document.querySelectorAll("input[data-row]")];
  const selected = () => boxes().filter((box) => box.checked);
  let lastBox = null;

  function selection() {
    const bar = document.querySelector(".selecting");
    if (!bar) return;
    const count = selected().length;
    bar.hidden = count === 0;
    const words = bar.querySelector(".n");
    if (words) words.textContent = `${count} selected`;
    const all = document.querySelector("input[data-all]");
    if (all) {
      all.checked = count > 0 && count === boxes().length;
      all.indeterminate = count > 0 && count < boxes().length;
    }
  }
  function clear() {
    for (const box of document.querySelectorAll("input[data-row], input[data-all]")) box.checked = false;
    selection();
  }

  // --- the keyboard ------------------------------------------------------------------------------------------------
  let here = -1;
  const rows = () => [...document.querySelectorAll("tr[data-href], li[data-href]")];
  function move(by) {
    const found = rows();
    if (!found.length) return;
    found[here]?.classList.remove("here");
    here = Math.max(0, Math.min(found.length - 1, here + by));
    found[here].classList.add("here");
    (found[here].querySelector("a[href]") || found[here]).focus({ preventScroll: true });
    found[here].scrollIntoView({ block: "nearest" });
  }
  const KEYS = {
    "/": () => document.querySelector("[data-find]")?.select(),
    "?": () => document.getElementById("keys").showModal(),
    j: () => move(1), k: () => move(-1),
    x: () => rows()[here]?.querySelector("input[data-row]")?.click(),
    Escape: clear,
    r: () => window.haulwayLive?.refresh(),
    t: () => theme(), u: turnTimes,
    n: () => { location.href = document.body.dataset.submit; },
  };
  const KEYS_OFF = "haulway.keys";
  let keysOn = true;
  try { keysOn = localStorage.getItem(KEYS_OFF) !== "off"; } catch { /* on */ }

  function pressed(event) {
    const typing = event.target.matches?.("input:not([type=checkbox]), textarea, select, [contenteditable]");
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (typing) { if (event.key === "Escape") event.target.blur(); return; }
    const go = document.querySelector(`.nav a[data-key="${CSS.escape(event.key)}"]`);
    const run = KEYS[event.key] ?? (go && (() => go.click()));
    if (!run || (!keysOn && event.key !== "Escape")) return;
    event.preventDefault();
    run();
  }

  function theme() {
    const name = window.haulwayTheme.next();
    const button = document.querySelector("[data-do=theme]");
    if (button) button.title = `Theme: ${name}`;
    document.getElementById("said").textContent = `Theme: ${name}`;
  }

  // --- completing a search --------------------------------------------------------------------------------------------
  function complete(field) {
    const [, before, last] = field.value.match(/^(.*?)(-?[^\s]*)$/s);
    const minus = last.startsWith("-") ? "-" : "";
    const word = last.slice(minus.length);
    const found = word ? field.dataset.words.split(" ").filter((one) => one.startsWith(word) && one !== word).slice(0, 12) : [];
    document.getElementById("completions").replaceChildren(...found.map((one) => new Option(before + minus + one)));
  }

  // --- listening ---------------------------------------------------------------------------------------------------
  document.addEventListener("click", (event) => {
    const element = event.target.closest?.("button, a, input, summary");
    if (!element) return;
    if (element.dataset.copy !== undefined || element.dataset.text !== undefined) copy(element);
    if (element.dataset.confirm !== undefined && !element.dataset.asked) { event.preventDefault(); ask(element); }
    if (element.dataset.do === "theme") theme();
    if (element.dataset.do === "keys") document.getElementById("keys").showModal();
    if (element.dataset.do === "times") turnTimes();
    if (element.dataset.do === "clear") clear();
    if (element.dataset.do === "menu") {
      const open = document.body.classList.toggle("menu-open");
      element.setAttribute("aria-expanded", String(open));
    }
    if (element.matches("input[data-row]")) {
      const all = boxes();
      if (event.shiftKey && lastBox && all.includes(lastBox)) {
        const [from, to] = [all.indexOf(lastBox), all.indexOf(element)].sort((a, b) => a - b);
        for (const box of all.slice(from, to + 1)) box.checked = element.checked;
      }
      lastBox = element;
      selection();
    }
    if (element.matches("input[data-all]")) { for (const box of boxes()) box.checked = element.checked; selection(); }
  });
  document.addEventListener("click", (event) => {
    for (const open of document.querySelectorAll(".more[open]")) if (!open.contains(event.target)) open.open = false;
  });
  document.addEventListener("keydown", pressed);
  document.addEventListener("input", (event) => { if (event.target.dataset?.words !== undefined) complete(event.target); });
  document.addEventListener("change", (event) => {
    if (event.target.id === "keys-on") {
      keysOn = event.target.checked;
      try { localStorage.setItem(KEYS_OFF, keysOn ? "on" : "off"); } catch { /* for this page */ }
    }
    if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
  });
  document.addEventListener("htmx:after:swap", (event) => {
    for (const open of document.querySelectorAll(".more[open]")) if (event.detail.ctx?.request?.method === "POST") open.open = false;
    times();
    selection();
  });
  const box = document.getElementById("keys-on");
  if (box) box.checked = keysOn;
  times();
  selection();
  setInterval(times, 1000);
})();
