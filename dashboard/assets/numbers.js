// Recent numbers: how the newest jobs ended, waited and ran. One read of at most 100 rows, once a
// minute, and the page says that this is what they are from.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { age, between, count, duration, FINISHED } from "./format.js";
import { here, organization } from "./route.js";

const ROWS = 100;
const SECONDS = 60;
const BINS = 24;
const OUTCOMES = ["succeeded", "failed", "cancelled", "unfinished"];

export class Numbers {
  #timer = null;
  #abort = null;

  constructor() {
    this.element = h("section", { class: "numbers", "aria-label": "Recent numbers" });
  }

  start() {
    this.read();
    this.#timer = setInterval(() => document.hidden || this.read(), SECONDS * 1000);
  }

  stop() {
    clearInterval(this.#timer);
    this.#abort?.abort();
  }

  async read() {
    this.#abort?.abort();
    const { signal } = (this.#abort = new AbortController());
    const { filters } = here();
    const query = {
      organization_id: organization(), job_type: filters.type, queue_name: filters.queue,
      limit: ROWS,
    };
    try {
      const { data } = await get("jobs", query, signal);
      if (!signal.aborted) this.#show(figures(data));
    } catch (problem) {
      // What is wrong is said once, above the list.
      if (problem.status !== undefined) this.#show([]);
      else if (problem.name !== "AbortError") throw problem;
    }
  }

  #show(children) {
    this.element.hidden = !children.length;
    fill(this.element, children);
  }
}

function figures({ jobs, cursor }) {
  if (!jobs.length) return [];
  // A later attempt or leg overwrites when the first one started, so only these can be told.
  const straight = jobs.filter((job) => job.attempt === 1 && job.legs === 1 && job.started_at);
  const waits = straight.map((job) => between(later(job), job.started_at));
  const runs = straight.filter((job) => job.status === "succeeded")
    .map((job) => between(job.started_at, job.finished_at));
  return [
    outcomes(jobs),
    times("Wait", waits, "before they started"),
    times("Run", runs, "for those that succeeded"),
    h("p", { class: "from" },
      cursor ? `From the newest ${count(jobs.length, "job")}, since ` : `From ${all(jobs)}, since `,
      age(jobs.at(-1).created_at),
      straight.length < jobs.length
        && `. Times are of the ${straight.length} that ran in one go.`),
  ];
}

function all(jobs) {
  return jobs.length === 1 ? "the only job" : `all ${count(jobs.length, "job")}`;
}

function later(job) {
  return [job.queued_at, job.run_at, job.created_at].filter(Boolean).sort().at(-1);
}

function outcomes(jobs) {
  const tally = Object.fromEntries(OUTCOMES.map((name) => [name, 0]));
  for (const job of jobs) tally[FINISHED.has(job.status) ? job.status : "unfinished"] += 1;
  let x = 0;
  const parts = OUTCOMES.filter((name) => tally[name]).map((name) => {
    const width = (100 * tally[name]) / jobs.length;
    const part = h("svg:rect", { class: name, x, y: 0, width, height: 8 });
    x += width;
    return part;
  });
  const words = OUTCOMES.filter((name) => tally[name] || name === "failed")
    .map((name) => h("span", { class: tally[name] ? name : null }, h("b", {}, tally[name]), ` ${name}`));
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

/** How many took how long, from the shortest to the longest, on a scale of powers. */
function histogram(sorted) {
  const low = Math.log(Math.max(10, sorted[0] ?? 10));
  const high = Math.max(Math.log(Math.max(10, sorted.at(-1) ?? 10)), low + 0.01);
  const bins = new Array(BINS).fill(0);
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
