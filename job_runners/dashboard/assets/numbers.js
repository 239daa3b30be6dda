// Statistics of the newest jobs: outcomes, waiting times, run times and counts by status.

import { fill, h } from "./dom.js";
import { age, between, count, duration, FINISHED } from "./format.js";

const BINS = 24;
const OUTCOMES = ["succeeded", "failed", "canceled", "unfinished"];

export class Numbers {
  constructor() {
    this.element = h("section", { class: "numbers", "aria-label": "Recent numbers" });
  }

  show(newest) {
    const children = newest ? figures(newest) : [];
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
  if (!jobs.length) return [];
  // Only jobs that ran in one Lambda invocation: a later invocation or attempt overwrites the
  // start of the first.
  const oneInvocation = jobs.filter((job) => job.attempt === 1 && job.invocations === 1 && job.started_at);
  const waits = oneInvocation.map((job) => between(later(job), job.started_at));
  const runs = oneInvocation.filter((job) => job.status === "succeeded")
    .map((job) => between(job.started_at, job.finished_at));
  return [
    outcomes(jobs),
    times("Wait", waits, "before they started"),
    times("Run", runs, "for those that succeeded"),
    h("p", { class: "from" },
      from(jobs.length, read, whole), ", since ",
      age(jobs.at(-1).created_at),
      oneInvocation.length < jobs.length
        && `. Times are from the ${oneInvocation.length} that ran in one invocation.`),
  ];
}

function from(number, read, whole) {
  if (number < read) return `From ${count(number, "job")} among ${whole ? "all" : "the newest"} ${read}`;
  if (!whole) return `From the newest ${count(number, "job")}`;
  return number === 1 ? "From the only job" : `From all ${count(number, "job")}`;
}

function later(job) {
  return [job.queued_at, job.run_at, job.created_at].filter(Boolean).sort().at(-1);
}

function outcomes(jobs) {
  const ended = Object.fromEntries(OUTCOMES.map((name) => [name, 0]));
  for (const job of jobs) ended[FINISHED.has(job.status) ? job.status : "unfinished"] += 1;
  let x = 0;
  const parts = OUTCOMES.filter((name) => ended[name]).map((name) => {
    const width = (100 * ended[name]) / jobs.length;
    const part = h("svg:rect", { class: name, x, y: 0, width, height: 8 });
    x += width;
    return part;
  });
  const words = OUTCOMES.filter((name) => ended[name] || name === "failed")
    .map((name) => h("span", { class: ended[name] ? name : null }, h("b", {}, ended[name]), ` ${name}`));
  return h("figure", {},
    h("figcaption", {}, "Outcomes"),
    h("p", { class: "value" }, words),
    h("svg:svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }, parts));
}

function times(name, values, what) {
  const sorted = values.filter((value) => value !== null).map((value) => Math.max(0, value))
    .sort((one, other) => one - other);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  return h("figure", {},
    h("figcaption", {}, name),
    sorted.length
      ? h("p", { class: "value", title: what },
        h("span", {}, h("b", {}, duration(at(0.5))), " median"),
        h("span", {}, h("b", {}, duration(at(0.95))), " at 95 %"))
      : h("p", { class: "value" }, "none yet"),
    histogram(sorted));
}

/** A histogram of times, from the shortest to the longest, on a logarithmic scale. */
function histogram(sorted) {
  const low = Math.log(Math.max(10, sorted[0] ?? 10));
  const high = Math.max(Math.log(Math.max(10, sorted.at(-1) ?? 10)), low + 0.01);
  const bins = Array.from({ length: BINS }, () => 0);
  for (const value of sorted) {
    const place = (Math.log(Math.max(10, value)) - low) / (high - low);
    bins[Math.min(BINS - 1, Math.floor(place * BINS))] += 1;
  }
  const most = Math.max(1, ...bins);
  const width = 100 / BINS;
  return h("svg:svg", { viewBox: "0 0 100 16", preserveAspectRatio: "none", "aria-hidden": "true" },
    h("svg:rect", { class: "floor", x: 0, y: 15.5, width: 100, height: 0.5 }),
    bins.map((number, index) => {
      const height = number ? Math.max(2, (15 * number) / most) : 0;
      return h("svg:rect", { class: "bin", x: index * width, y: 16 - height, width: width * 0.8, height });
    }));
}
