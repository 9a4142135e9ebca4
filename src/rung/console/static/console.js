// What the pages do beside forms and links: they work without it, too.
"use strict";

const REFRESH_MS = 5_000;
const SPOKEN_MS = 30_000;
const byId = (id) => document.getElementById(id);
const stored = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
const store = (key, value) => { try { localStorage.setItem(key, value); } catch { /* it holds for this page */ } };

let spokenAt = -SPOKEN_MS;
function speak(text) {
  const now = performance.now();
  if (now - spokenAt < SPOKEN_MS) return;
  spokenAt = now;
  byId("spoken").textContent = text;
}

// The menu of a narrow page.
const menuButton = document.querySelector(".menu-button");
if (menuButton) {
  document.documentElement.classList.add("scripted");
  menuButton.hidden = false;
  menuButton.addEventListener("click", () => {
    const open = menuButton.getAttribute("aria-expanded") === "true";
    menuButton.setAttribute("aria-expanded", String(!open));
    byId("menu").classList.toggle("open", !open);
  });
}

// The theme: as the system, light, dark.
const themes = { system: "auto", light: "light", dark: "dark" };
const themeButton = byId("theme");
function showTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  themeButton.querySelector("span").textContent = themes[theme];
}
if (themeButton) {
  const names = Object.keys(themes);
  let theme = themes[stored("rung-theme")] ? stored("rung-theme") : "system";
  themeButton.hidden = false;
  showTheme(theme);
  themeButton.addEventListener("click", () => {
    theme = names[(names.indexOf(theme) + 1) % names.length];
    store("rung-theme", theme);
    showTheme(theme);
    drawCharts();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);
}

// What is wrong with a form is read first.
byId("mistakes")?.focus();

// A file's text goes into its field, so that it can be read before it is sent.
for (const input of document.querySelectorAll("input[type=file][data-into]")) {
  input.closest(".field").hidden = false;
  input.addEventListener("change", async () => {
    if (input.files.length) byId(input.dataset.into).value = await input.files[0].text();
  });
}

// What changes by itself: every few seconds, not while the page is hidden, and not when paused.
let paused = false;
const pauseButton = byId("pause");
const liveState = byId("live-state");
function pause(now) {
  paused = now;
  if (!pauseButton) return;
  pauseButton.setAttribute("aria-pressed", String(paused));
  pauseButton.textContent = paused ? "Go on" : "Pause";
  liveState.textContent = paused ? "Paused" : `Looks again every ${REFRESH_MS / 1_000} s`;
  liveState.classList.remove("stale");
}
if (pauseButton) {
  pauseButton.hidden = false;
  pauseButton.addEventListener("click", () => pause(!paused));
}
const refresh = () => {
  if (!paused && !document.hidden && window.htmx) window.htmx.trigger(document.body, "refresh");
};
setInterval(refresh, REFRESH_MS);
document.addEventListener("visibilitychange", refresh);

document.body.addEventListener("htmx:beforeSwap", (event) => {
  // What somebody reads, or has the focus in, is not replaced under them.
  const { target } = event.detail;
  const isRead = target.querySelector("details[open]") || (target.contains(document.activeElement) && document.activeElement !== target);
  if (isRead) event.detail.shouldSwap = false;
});
// The parts of the page that were not refreshed the last time they should have been.
const failing = new Set();
document.body.addEventListener("htmx:afterRequest", (event) => {
  const before = failing.size;
  if (event.detail.successful) failing.delete(event.detail.target);
  else failing.add(event.detail.target);
  if (!liveState || before === failing.size) return;
  if (failing.size) {
    liveState.classList.add("stale");
    liveState.textContent = "Not refreshed: the console does not answer. The figures are as of the times beside them.";
    speak("The figures are not refreshed any more.");
  } else {
    pause(paused);
    speak("The figures are refreshed again.");
  }
});
document.body.addEventListener("htmx:afterSwap", drawCharts);

// Charts: drawn from the tables beside them, which have the same numbers.
const charts = new Map();
const zone = document.body.dataset.zone;
const time = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const seconds = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const date = new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" });
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const number = (text) => (text === "" || text === undefined ? null : Number(text));
const short = (value) => value.toLocaleString("en-GB", { notation: "compact", maximumFractionDigits: 1 });

function axis(extra) {
  const stroke = colour("muted");
  return { stroke, font: "12px system-ui, sans-serif", grid: { stroke: colour("track"), width: 1 }, ticks: { show: false }, ...extra };
}

function draw(host, data, options) {
  charts.get(host)?.destroy();
  host.replaceChildren();
  const chart = new window.uPlot({
    width: host.clientWidth,
    height: host.clientHeight,
    legend: { show: false },
    cursor: { show: false },
    padding: [12, 8, 0, 0],
    ...options,
  }, data, host);
  charts.set(host, chart);
}

function timesOf(splits) {
  const long = splits.length > 1 && splits[splits.length - 1] - splits[0] > 86_400;
  const fine = splits.length > 1 && splits[1] - splits[0] < 60;
  return splits.map((at) => (long ? date : fine ? seconds : time).format(new Date(at * 1_000)));
}

function rowsOf(id) {
  return [...document.querySelectorAll(`#${id} tbody tr`)].map((row) => row.dataset);
}

function drawLately(host) {
  const rows = rowsOf("series-table");
  const summary = byId("series-summary");
  if (summary) host.setAttribute("aria-label", summary.textContent);
  if (rows.length < 2) return;
  draw(host, [rows.map((row) => Number(row.at)), rows.map((row) => number(row.lag)), rows.map((row) => number(row.rate))], {
    scales: { x: { time: true }, lag: { range: (_, low, high) => [0, Math.max(1, (high ?? 0) * 1.1)] }, rate: { range: (_, low, high) => [0, Math.max(1, (high ?? 0) * 1.1)] } },
    axes: [
      axis({ values: (_, splits) => timesOf(splits), space: 80, size: 30 }),
      axis({ scale: "lag", values: (_, splits) => splits.map(short), size: 48 }),
      axis({ scale: "rate", side: 1, values: (_, splits) => splits.map(short), size: 48, grid: { show: false } }),
    ],
    series: [
      {},
      { scale: "lag", stroke: colour("accent"), width: 2, spanGaps: false, points: { show: rows.length < 30, size: 4 } },
      { scale: "rate", stroke: colour("ok"), width: 2, dash: [6, 4], spanGaps: false, points: { show: rows.length < 30, size: 4 } },
    ],
  });
}

function drawTrend(host) {
  const rows = rowsOf("trend-table").reverse();
  if (rows.length < 2) return;
  draw(host, [rows.map((row) => Number(row.at)), rows.map((row) => number(row.rate))], {
    scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(1, (high ?? 0) * 1.1)] } },
    axes: [axis({ values: (_, splits) => timesOf(splits), space: 90, size: 30 }), axis({ values: (_, splits) => splits.map(short), size: 48 })],
    series: [{}, { stroke: colour("danger"), width: 2, points: { show: true, size: 6 } }],
  });
}

function drawBars(host) {
  const counts = JSON.parse(host.dataset.bars);
  const threshold = Number(host.dataset.threshold);
  const starts = counts.map((_, index) => index + 0.5);
  draw(host, [starts, counts], {
    scales: { x: { time: false, range: [0, counts.length] }, y: { range: (_, low, high) => [0, Math.max(1, (high ?? 0) * 1.1)] } },
    axes: [
      axis({ splits: [0, 5, 10, 15, 20], values: (_, splits) => splits.map((tenths) => short(threshold * tenths / 10)), grid: { show: false }, size: 30 }),
      axis({ values: (_, splits) => splits.map((value) => (Number.isInteger(value) ? short(value) : "")), size: 48 }),
    ],
    series: [{}, { stroke: colour("accent"), fill: colour("accent"), paths: window.uPlot.paths.bars({ size: [0.8, 60] }), points: { show: false } }],
    hooks: {
      draw: [(chart) => {
        const x = chart.valToPos(10, "x", true);
        const { ctx, bbox } = chart;
        ctx.save();
        ctx.strokeStyle = colour("danger");
        ctx.setLineDash([4, 4]);
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
        ctx.restore();
      }],
    },
  });
}

function drawCharts() {
  if (!window.uPlot) return;
  const lately = byId("lately-chart");
  const trend = byId("trend-chart");
  if (lately) drawLately(lately);
  if (trend) drawTrend(trend);
  for (const host of document.querySelectorAll("[data-bars]")) drawBars(host);
}
drawCharts();
let resizing;
addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(drawCharts, 150); });

// The keyboard.
const keys = byId("keys");
if (keys) {
  const on = byId("keys-on");
  const places = { o: "/", c: "/campaigns", h: "/changes", u: "/users", q: "/quarantine", b: "/batch", a: "/audit" };
  let going = false;
  on.checked = stored("rung-keys") !== "off";
  on.addEventListener("change", () => store("rung-keys", on.checked ? "on" : "off"));
  byId("keys-button").hidden = false;
  byId("keys-button").addEventListener("click", () => keys.showModal());
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (!on.checked || typing || event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
    if (going && places[event.key]) location.assign(places[event.key]);
    going = event.key === "g";
    if (event.key === "?") keys.showModal();
    if (event.key === "p" && pauseButton) pause(!paused);
    if (event.key === "/") {
      event.preventDefault();
      const search = document.querySelector("[data-search]");
      if (search) search.focus();
      else location.assign("/users");
    }
  });
}
