// Charts of the newest jobs that the page has read: when they were created and how they ended, how long they waited,
// and how long they ran.

import { fill, h } from "./dom.js";
import { between, count, duration, FINISHED } from "./format.js";
import { here } from "./route.js";

const BINS = 24;
const HEIGHT = 40;
const DAY = 86_400_000;
const OUTCOMES = ["succeeded", "canceled", "failed", "unfinished"]; // from the bottom of a bar to its top
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const DAY_AND_CLOCK = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "short" });

export class Numbers {
  constructor() {
    this.element = h("section", { class: "numbers", "aria-label": "Recent numbers" });
  }

  show(newest) {
    const children = newest?.jobs.length ? figures(newest) : [];
    this.element.hidden = !children.length;
    fill(this.element, children);
  }
}

/** The number of jobs by status, and of all jobs under "". */
export function tally(jobs) {
  const found = { "": jobs.length };
  for (const { status } of jobs) found[status] = (found[status] ?? 0) + 1;
  return found;
}

function figures({ jobs, read, whole }) {
  const hasStatus = here().filters.status;
  // Only jobs that ran in one Lambda invocation: a later invocation or attempt overwrites the
  // start of the first.
  const ran = jobs.filter((job) => job.attempt === 1 && job.invocations === 1 && job.started_at);
  const waits = ran.map((job) => between(later(job), job.started_at));
  const runs = ran.filter((job) => job.status === "succeeded").map((job) => between(job.started_at, job.finished_at));
  const among = jobs.length < read ? ` that match, among ${whole ? "all" : "the newest"} ${read}` : "";
  const which = among || !whole ? `${count(jobs.length, "job")}${among}` : `all ${count(jobs.length, "job")}`;
  return [
    created(jobs), times("Wait before the start", waits, jobs), times("Run time of those that succeeded", runs, jobs),
    h("p", { class: "from" }, `These charts show ${!among && !whole ? "only the newest " : ""}${which}${hasStatus ? ", of any status" : ""}.`,
      enough(ran, jobs) && ran.length < jobs.length && ` Times are from the ${ran.length} that ran in one invocation.`),
  ];
}

function later(job) {
  return [job.queued_at, job.run_at, job.created_at].filter(Boolean).sort().at(-1);
}

const outcome = ({ status }) => (FINISHED.has(status) ? status : "unfinished");

/** How many jobs were created when, by outcome. */
function created(jobs) {
  const at = jobs.map((job) => new Date(job.created_at).getTime());
  const [first, last] = [Math.min(...at), Math.max(...at)];
  const bins = binned(jobs, (_, index) => (at[index] - first) / Math.max(1, last - first));
  const number = (name) => jobs.filter((job) => outcome(job) === name).length;
  const words = OUTCOMES.filter((name) => number(name) || name === "failed")
    .map((name) => h("span", { class: number(name) ? name : null }, h("b", {}, number(name)), ` ${name}`));
  const parts = (bin) => OUTCOMES.map((name) => [name, bin.filter((job) => outcome(job) === name).length]);
  return chart("Created", words, bins.map(parts), [first, last].map((time) => (last - first < DAY ? CLOCK : DAY_AND_CLOCK).format(time)));
}

/** Whether the times of some jobs say enough about all of them. */
const enough = (some, all) => some.length > all.length / 10;

/** A histogram of times on a logarithmic scale. */
function times(name, values, jobs) {
  const sorted = values.filter((value) => value !== null).map((value) => Math.max(10, value))
    .sort((one, other) => one - other);
  if (!enough(sorted, jobs)) return null;
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  const [low, high] = [sorted[0], sorted.at(-1)];
  const bins = binned(sorted, (value) => Math.log(value / low) / (Math.log(high / low) || 1));
  const words = [[0.5, " median"], [0.95, " at 95 %"]]
    .map(([share, of]) => h("span", {}, h("b", {}, duration(at(share))), of));
  return chart(`${name}, ${count(sorted.length, "job")}`, words, bins.map((bin) => [["bin", bin.length]]), [low, high].map(duration));
}

function binned(values, share) {
  const bins = Array.from({ length: BINS }, () => []);
  values.forEach((value, index) => bins[Math.min(BINS - 1, Math.floor(share(value, index) * BINS))].push(value));
  return bins;
}

/** A bar of stacked parts for each bin, with the ends of both axes in words. */
function chart(name, words, bins, ends) {
  const most = Math.max(1, ...bins.map((bin) => bin.reduce((total, [, number]) => total + number, 0)));
  const width = 100 / BINS;
  const bars = bins.flatMap((bin, index) => {
    let top = HEIGHT;
    return bin.filter(([, number]) => number).map(([kind, number]) => {
      const height = HEIGHT * number / most;
      top -= height;
      return h("svg:rect", { class: kind, x: index * width, y: top, width: width * 0.8, height });
    });
  });
  return h("figure", {},
    h("figcaption", {}, name),
    h("p", { class: "value" }, words),
    h("p", { class: "axis" }, count(most, "job")),
    h("svg:svg", { viewBox: `0 0 100 ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, bars),
    h("p", { class: "axis ends" }, ends.map((end) => h("span", {}, end))));
}
