// Parts of a page that follow what they show. A part names its topics in data-live; when the server says that one of
// them has changed, the part asks for itself again by htmx and is morphed in place.
//
// Calm: at most one request per part in data-every milliseconds; none while something in the part is selected or typed
// into; none in a background tab. Where no stream can be held, it asks every few seconds.
"use strict";
(() => {
  const POLL = 5000;          // without a stream
  const NET = 20000;          // with one: whatever an event should have said and did not
  const RETRY = [1000, 2000, 5000, 15000];
  const WORDS = { live: "Live", polling: "Polling", paused: "Paused", frozen: "Held while you select", away: "Server does not answer" };
  let source = null, opened = false, tries = 0, retryTimer = 0, failures = 0;

  const parts = () => [...document.querySelectorAll("[data-live]")];
  const sign = () => document.querySelector("[data-link]");

  function say(word) {
    const element = sign();
    if (!element || element.dataset.link === word) return;
    element.dataset.link = word;
    element.textContent = WORDS[word];
  }

  function held(part) {
    if (part.querySelector("input[type=checkbox]:checked, .more[open]")) return true;
    const focused = document.activeElement;
    return part.contains(focused) && focused.matches("input:not([type=checkbox]), textarea, select");
  }

  function show() {
    if (document.hidden) say("paused");
    else if (failures > 1) say("away");
    else if (parts().some(held)) say("frozen");
    else say(opened ? "live" : "polling");
  }

  function refresh(part) {
    part.haulwayDue = false;
    part.haulwayAt = Date.now();
    htmx.trigger(part, "refresh");
  }

  function tick() {
    show();
    if (document.hidden) return;
    const now = Date.now();
    for (const part of parts()) {
      const since = now - (part.haulwayAt ??= now);
      if (since > (opened ? NET : POLL)) part.haulwayDue = true;
      if (part.haulwayDue && since >= Number(part.dataset.every || 1000) && !held(part)) refresh(part);
    }
  }

  function open() {
    close();
    const topics = [...new Set(parts().flatMap((part) => part.dataset.live.split(" ")))].filter(Boolean);
    if (!topics.length || document.hidden) return;
    const query = topics.map((topic) => "topic=" + encodeURIComponent(topic)).join("&");
    source = new EventSource(document.body.dataset.stream + "?" + query);
    source.onopen = () => { opened = true; tries = 0; tick(); };
    source.addEventListener("changed", (event) => {
      const changed = new Set(event.data.split(" "));
      for (const part of parts()) {
        if (part.dataset.live.split(" ").some((topic) => changed.has(topic))) part.haulwayDue = true;
      }
      tick();
    });
    source.onerror = () => {
      opened = false;
      // The browser itself comes back after a break; an answer that was no stream ends it for good.
      if (source && source.readyState === EventSource.CLOSED) retryTimer = setTimeout(open, RETRY[Math.min(tries++, RETRY.length - 1)]);
      tick();
    };
  }

  function close() {
    clearTimeout(retryTimer);
    if (source) source.close();
    source = null;
    opened = false;
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { close(); show(); return; }
    for (const part of parts()) part.haulwayDue = true;
    open();
    tick();
  });
  document.addEventListener("htmx:after:request", (event) => { failures = event.detail.ctx.response?.status < 500 ? 0 : failures + 1; });
  document.addEventListener("htmx:error", () => { failures += 1; show(); });
  document.addEventListener("change", show);
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  // A part that stays what it is when the server is away: an error page has nothing to put in its place.
  document.addEventListener("htmx:before:swap", (event) => {
    const { ctx } = event.detail;
    if (ctx.response?.status >= 500 && ctx.sourceElement?.matches?.("[data-live]")) event.preventDefault();
  });
  open();
  setInterval(tick, 250);
  window.haulwayLive = { refresh: () => parts().forEach(refresh) };
})();
