// Formats times, durations, numbers and values.

import { h } from "./dom.js";

const ABSOLUTE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
});
const TIME_OF_DAY = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const DAY_AND_TIME = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
export const COUNT = new Intl.NumberFormat();
const SHOWN_CHARACTERS = 40_000;

export const FINISHED = new Set(["succeeded", "failed", "canceled"]);
export const STATUSES = [
  "running", "queued", "scheduled", "waiting", "retryable", "succeeded", "failed", "canceled",
];

/** Milliseconds as text: 20 ms, 0.4 s, 12 s, 3 min 20 s, 2 h 5 min, 3 d. */
export function duration(milliseconds) {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 0.1) return `${Math.max(0, milliseconds)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const [days, hours, minutes] = [seconds / 86400, seconds / 3600, seconds / 60].map(Math.floor);
  if (days >= 3) return `${days} d`;
  if (days >= 1) return `${days} d ${hours - days * 24} h`;
  if (hours >= 1) return `${hours} h ${minutes - hours * 60} min`;
  const rest = Math.floor(seconds - minutes * 60);
  return minutes < 10 && rest ? `${minutes} min ${rest} s` : `${minutes} min`;
}

/** The time since a moment, or the time until it. Hovering shows the moment itself. */
export function age(iso) {
  if (!iso) return null;
  const time = new Date(iso);
  return h("time", { datetime: iso, title: ABSOLUTE.format(time) }, relative(time));
}

/** The time since a moment without "ago": how long a job has waited. */
export function waited(iso) {
  const element = age(iso);
  element.dataset.waited = "";
  refresh(element);
  return element;
}

/** The time until a moment, or "due" once it has passed. Hovering shows the moment itself. */
export function coming(iso) {
  const element = age(iso);
  if (element) {
    element.dataset.coming = "";
    refresh(element);
  }
  return element;
}

/** The time of day of a moment, with its day if it isn't today. */
export function clockOf(iso) {
  const time = new Date(iso);
  const isToday = time.toDateString() === new Date(Date.now()).toDateString();
  return (isToday ? TIME_OF_DAY : DAY_AND_TIME).format(time);
}

/** The time since or until a moment, and the moment itself. */
export function moment(iso) {
  return iso ? [age(iso), ", ", h("span", { class: "quiet" }, ABSOLUTE.format(new Date(iso)))] : null;
}

/** The time of day of a log line, with the full time on hover. */
export function clockTime(iso) {
  return h("span", { class: "clock", title: ABSOLUTE.format(new Date(iso)) }, CLOCK.format(new Date(iso)));
}

/** Update every relative time on the page. */
export function refreshAges() {
  for (const element of document.querySelectorAll("time[datetime]")) refresh(element);
}

function refresh(element) {
  const time = new Date(element.dateTime);
  let text = "coming" in element.dataset && time <= Date.now() ? "due" : relative(time);
  if ("waited" in element.dataset) text = text.replace(" ago", "");
  if (element.textContent !== text) element.textContent = text;
}

function relative(time) {
  const elapsed = Date.now() - time;
  if (Math.abs(elapsed) < 1000) return "now";
  const long = Math.abs(elapsed);
  const words = long < 60_000 ? `${Math.round(long / 1000)} s` : coarse(long);
  return elapsed < 0 ? `in ${words}` : `${words} ago`;
}

function coarse(milliseconds) {
  const minutes = Math.round(milliseconds / 60_000);
  if (minutes < 120) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.round(minutes / 60)} h`;
  return `${Math.round(minutes / 1440)} d`;
}

export function count(number, one, many = `${one}s`) {
  return `${COUNT.format(number)} ${number === 1 ? one : many}`;
}

/** The milliseconds between two of the API's times, or null if one is missing. */
export function between(from, to) {
  return from && to ? new Date(to) - new Date(from) : null;
}

/** A status with a mark whose shape and color both show it. */
export function statusMark(status, cancelRequested = false) {
  const words = cancelRequested && !FINISHED.has(status) ? "canceling" : status;
  return h("span", { class: "status", "data-status": status }, words);
}

/** A job's progress bar. */
export function progressBar(job) {
  const done = job.status === "succeeded" ? 100 : job.progress;
  return h("span", { class: "bar" },
    h("progress", { max: 100, value: done, "aria-label": `Progress of ${job.job_type}` }),
    h("span", { class: "number" }, `${Math.floor(done)} %`));
}

/** A box with a JSON value. Long text is cut, with a button that shows all of it. */
export function jsonBox(name, value, whole = false) {
  const text = typeof value === "string" ? value : JSON.stringify(value, unaddressed, 2);
  const cut = !whole && text.length > SHOWN_CHARACTERS;
  return h("div", { class: "json" },
    h("pre", { tabindex: 0, "aria-label": `${name} as JSON`, role: "group" },
      cut ? text.slice(0, SHOWN_CHARACTERS) : text),
    cut && h("button", { class: "plain", type: "button", "data-do": "whole", "data-name": name },
      `Show all ${count(text.length, "character")}`));
}

// Leaves out the URLs that the API added to files, because they are long and expire soon.
function unaddressed(key, value) {
  const added = (key === "url" || key === "url_expires_at") && "url_expires_at" in this;
  return added ? undefined : value;
}
