// Makes the pages live: they are complete without it.
"use strict";

const root = document.documentElement;
const stream = document.body.dataset.stream;

// Theme: what the system has, until somebody chooses. The server puts the choice into
// the next page, so that it does not flicker.
document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `portway-theme=${root.dataset.theme}; Path=/; Max-Age=31536000; SameSite=Strict${secure}`;
});

// Filter: what does not have all words is hidden.
const filter = document.querySelector("input[data-filter]");
function applyFilter() {
  if (!filter) return;
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const x of document.querySelectorAll(filter.dataset.filter)) {
    const text = x.textContent.toLowerCase();
    x.hidden = !words.every((w) => text.includes(w));
  }
}
if (filter) {
  filter.addEventListener("input", applyFilter);
  if (!filter.form.action.includes("/routes")) filter.form.addEventListener("submit", (e) => e.preventDefault());
}

// Refresh: the page is fetched again, and its changing part replaced.
let fetching = false, again = false;
async function refresh() {
  const part = document.getElementById("fresh");
  if (!part) return;
  if (fetching) { again = true; return; }
  fetching = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.status === 401) { location.reload(); return; }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.getElementById("fresh");
    if (next && part.dataset.text !== next.innerHTML) replace(part, next);
  } catch {
    // Portway is away: the stream says so, and comes back with it
  } finally {
    fetching = false;
    if (again) { again = false; refresh(); }
  }
}

function replace(part, next) {
  const text = next.innerHTML;
  for (const d of part.querySelectorAll("details[id]")) {
    const other = next.querySelector(`#${CSS.escape(d.id)}`);
    if (other) other.open = d.open;
  }
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const sideways = [...part.querySelectorAll(".scroll")].map((x) => x.scrollLeft);
  part.replaceChildren(...next.childNodes);
  part.dataset.text = text;
  part.querySelectorAll(".scroll").forEach((x, i) => { x.scrollLeft = sideways[i] || 0; });
  applyFilter();
  if (focused) {
    const href = focused.getAttribute("href");
    const same = focused.id ? document.getElementById(focused.id) : href && part.querySelector(`a[href="${CSS.escape(href)}"]`);
    if (same) same.focus({ preventScroll: true });
  }
}

// Numbers of the overview, and charts.
function showNumbers(n) {
  for (const x of document.querySelectorAll("[data-number]")) x.textContent = n[x.dataset.number];
  const set = (id, f) => { const x = document.getElementById(id); if (x) f(x); };
  set("chart-requests", (x) => x.setAttribute("points", n.chart.requests));
  set("chart-failed", (x) => x.setAttribute("points", n.chart.failed));
  set("chart-most", (x) => { x.textContent = n.chart.most; });
  set("chart-text", (x) => { x.textContent = n.chart.text; });
}

// Log: new lines come on top.
const log = document.getElementById("log");
const pause = document.getElementById("pause");
const waiting = [];
const mostLines = 1000;

function span(kind, text) {
  const x = document.createElement("span");
  x.className = kind;
  x.textContent = text;
  return x;
}

function showLine(line) {
  if (!log) return;
  if (pause.getAttribute("aria-pressed") === "true") {
    waiting.push(line);
    if (waiting.length > mostLines) waiting.shift();
    return;
  }
  const item = document.createElement("li");
  item.className = `line ${line.level}`;
  const time = document.createElement("time");
  time.dateTime = line.time;
  time.textContent = new Date(line.time).toISOString().slice(0, 19).replace("T", " ");
  const level = document.createElement("strong");
  level.className = "level";
  level.textContent = line.level;
  item.append(time, " ", level, " ", span("message", line.message));
  for (const key of Object.keys(line.attrs || {}).sort()) {
    const attribute = span("attribute", "");
    attribute.append(span("key", key), `=${line.attrs[key]}`);
    item.append(" ", attribute);
  }
  log.prepend(item);
  while (log.children.length > mostLines) log.lastElementChild.remove();
}

if (pause) {
  pause.addEventListener("click", () => {
    const on = pause.getAttribute("aria-pressed") !== "true";
    pause.setAttribute("aria-pressed", String(on));
    if (!on) waiting.splice(0).forEach(showLine);
  });
  document.getElementById("level").addEventListener("change", (e) => e.target.form.requestSubmit());
}

// The stream of news.
function live(on) {
  document.body.dataset.live = on ? "on" : "off";
  document.getElementById("live").textContent = on ? "live" : "not live: waiting for Portway";
}

// A burst of changes is one refresh, and a storm of them a few in a second.
let soon = false, last = 0;
function changed() {
  if (soon) return;
  soon = true;
  setTimeout(() => { soon = false; last = Date.now(); refresh(); }, Math.max(50, last + 400 - Date.now()));
}

function listen() {
  const source = new EventSource(stream);
  source.addEventListener("hello", () => { live(true); changed(); });
  source.addEventListener("change", changed);
  source.addEventListener("numbers", (e) => showNumbers(JSON.parse(e.data)));
  source.addEventListener("line", (e) => showLine(JSON.parse(e.data)));
  source.addEventListener("bye", () => location.reload());
  source.addEventListener("error", () => {
    live(false);
    if (source.readyState === EventSource.CLOSED) setTimeout(() => { changed(); listen(); }, 3000);
  });
  addEventListener("pagehide", () => source.close());
}

if (stream) {
  listen();
  // What is no event: requests in flight, times from now.
  setInterval(() => { if (!document.hidden) refresh(); }, 15000);
}
