// What moves on a page without a reload: the platform's clock, countdowns, ages, flashes, the state of the stream.
// A page renews its #live part by itself when the stream says that something changed (attributes of htmx); this file
// tells htmx's morph what to leave alone, and shows the reader what changed and how old it is.

let clock = null; // {at, since, rate, ceiling}: platform time `at` when the browser's own clock stood at `since`

function readClock() {
  const seen = document.querySelector("[data-clock]");
  if (!seen || (clock && seen.dataset.clock === clock.text)) return;
  const ceiling = seen.dataset.ceiling ? Date.parse(seen.dataset.ceiling) : Infinity;
  clock = { text: seen.dataset.clock, at: Date.parse(seen.dataset.clock), since: performance.now(), rate: Number(seen.dataset.rate), ceiling };
}

function platformNow() {
  if (!clock) return Date.now();
  return Math.min(clock.at + (performance.now() - clock.since) * clock.rate, clock.ceiling);
}

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
const full = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", hour12: false, timeZone: zone, timeZoneName: "short" });
const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false, timeZone: zone, timeZoneName: "short" });

function span(milliseconds) {
  const s = Math.floor(milliseconds / 1000);
  const parts = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60, s % 60];
  if (parts[0]) return `${parts[0]} d ${parts[1]} h`;
  if (parts[1]) return `${parts[1]} h ${parts[2]} min`;
  return parts[2] ? `${parts[2]} min ${String(parts[3]).padStart(2, "0")} s` : `${parts[3]} s`;
}

function set(node, text) { if (node.textContent !== text) node.textContent = text; }

function showTimes() {
  for (const node of document.querySelectorAll("time[data-style]")) {
    set(node, (node.dataset.style === "clock" ? time : full).format(new Date(node.dateTime)));
  }
}

function tickClock() {
  const now = platformNow();
  for (const node of document.querySelectorAll("[data-platform-time]")) set(node, time.format(new Date(now)));
  for (const node of document.querySelectorAll("[data-countdown]")) {
    const left = Date.parse(node.dateTime) - now;
    set(node, left >= 0 ? `${span(left)} left` : `${span(-left)} overdue`);
    node.classList.toggle("soon", left >= 0 && left < 15 * 60000);
    node.classList.toggle("over", left < 0);
  }
  for (const node of document.querySelectorAll("[data-age]")) {
    const old = Math.max(0, now - Date.parse(node.dateTime));
    const stale = old > Number(node.dataset.staleAfter) * 1000;
    set(node, stale ? `stale since ${time.format(new Date(node.dateTime))}` : `${span(old)} old`);
    document.body.classList.toggle("stale", stale);
  }
}

let before = new Map();
function remember() {
  before = new Map([...document.querySelectorAll("[data-live]")].map((node) => [node.dataset.live, node.textContent]));
}
function flash() {
  for (const node of document.querySelectorAll("[data-live]")) {
    if (!before.has(node.dataset.live) || before.get(node.dataset.live) === node.textContent) continue;
    node.classList.remove("flash");
    void node.offsetWidth; // restarts the animation
    node.classList.add("flash");
  }
}

function stream(state, text) {
  document.body.classList.toggle("is-live", state === "live");
  document.body.classList.toggle("is-lost", state === "lost");
  for (const node of document.querySelectorAll("[data-stream]")) set(node, text);
}

function refresh() { readClock(); showTimes(); tickClock(); }

// Morph keeps what the reader is doing: open drawers and details, half-filled forms, drawn charts.
if (window.Idiomorph) {
  window.Idiomorph.defaults.callbacks.beforeNodeMorphed = (old) => !(old instanceof Element && old.hasAttribute("data-keep"));
  window.Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && /^(DIALOG|DETAILS)$/.test(node.tagName)) && name !== "data-unfolded";
}
document.addEventListener("htmx:beforeSwap", remember);
document.addEventListener("htmx:afterSwap", refresh);
document.addEventListener("htmx:afterSettle", flash); // settling puts back the classes that the server sent
document.addEventListener("htmx:sseOpen", () => stream("live", "Live"));
document.addEventListener("htmx:sseError", () => stream("lost", "Connection lost, trying again"));
refresh();
setInterval(tickClock, 1000);
