// Curves by uPlot. A figure carries its columns in data-curves; when the page is refreshed they change, and the chart
// that is there is given the new ones.
"use strict";
(() => {
  const charts = new Map();
  const colour = (name) => {
    const probe = document.createElement("span");
    probe.style.color = `var(--${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };
  const faded = (name, share) => colour(name).replace(/^rgb\((.*)\)$/, `rgba($1, ${share})`);

  // Completed and failed stand on one another; what was submitted is a line beside them.
  function columns(element) {
    const [at, completed, failed, submitted] = JSON.parse(element.dataset.curves);
    return [at, completed.map((n, i) => n + failed[i]), failed, submitted];
  }
  const clock = (at, seconds) => new Date(at * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: seconds ? "2-digit" : undefined, hourCycle: "h23" });
  const number = (value) => value == null ? "" : value >= 1000 ? `${+(value / 1000).toFixed(1)}k` : String(+value.toFixed(value < 1 ? 2 : 1));

  function draw(element) {
    const axis = { stroke: colour("ink-faint"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const chart = new uPlot({
      width: element.clientWidth, height: element.clientHeight, padding: [8, 8, 0, 0],
      legend: { show: false }, cursor: { points: { size: 6 }, y: false },
      scales: { y: { range: (_, low, high) => [0, Math.max(1, high * 1.1)] } },
      axes: [{ ...axis, space: 70, size: 26, values: (_, ticks) => ticks.map((at) => clock(at, ticks.at(-1) - ticks[0] < 600)) },
        { ...axis, size: 44, values: (_, ticks) => ticks.map(number) }],
      series: [{},
        { label: "completed", stroke: colour("completed"), width: 1.5, fill: faded("completed", 0.18), points: { show: false } },
        { label: "failed", stroke: colour("failed"), width: 1.5, fill: faded("failed", 0.35), points: { show: false } },
        { label: "submitted", stroke: colour("quiet"), width: 1, dash: [4, 4], points: { show: false } }],
      hooks: { setCursor: [(self) => tell(element, self)] },
    }, columns(element), element);
    charts.set(element, chart);
  }
  function tell(element, chart) {
    const out = document.getElementById(element.dataset.readout);
    const at = chart.cursor.idx;
    if (!out) return;
    if (at == null) { out.textContent = out.dataset.rest; return; }
    const [when, completed, failed, submitted] = JSON.parse(element.dataset.curves).map((column) => column[at]);
    out.textContent = `${clock(when, true)}: ${number(completed)} completed, ${number(failed)} failed, ${number(submitted)} submitted a second`;
  }

  function update() {
    for (const [element, chart] of charts) if (!element.isConnected) { chart.destroy(); charts.delete(element); }
    for (const element of document.querySelectorAll("[data-curves]")) {
      const chart = charts.get(element);
      if (!chart) draw(element);
      else if (element.haulwayShown !== element.dataset.curves) chart.setData(columns(element));
      element.haulwayShown = element.dataset.curves;
    }
  }
  function redraw() {
    for (const [element, chart] of charts) { chart.destroy(); charts.delete(element); }
    update();
  }
  document.addEventListener("htmx:after:swap", update);
  document.addEventListener("haulway:theme", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("resize", () => { for (const [element, chart] of charts) chart.setSize({ width: element.clientWidth, height: element.clientHeight }); });
  update();
})();
