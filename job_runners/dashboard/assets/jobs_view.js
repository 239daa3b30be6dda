// The live list of an organization's jobs, newest first.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { filterBar, filtered, followFilters, statusLinks } from "./filters.js";
import { age, between, count, duration, FINISHED, progressBar, statusMark } from "./format.js";
import { Live } from "./live.js";
import { Newest } from "./newest.js";
import { Numbers, tally } from "./numbers.js";
import { here, organization, to } from "./route.js";

const ROWS = 25;
const SECONDS_WHILE_RUNNING = 3;
const SECONDS_WHILE_IDLE = 15;

export function jobsView(root) {
  document.title = "Jobs · Job Runners";
  const list = h("section", { "aria-label": "Jobs", "aria-busy": "true" }, skeleton());
  const tabs = h("nav", { class: "tabs", "aria-label": "Status", "aria-describedby": "counted" });
  const counted = h("p", { class: "counted", id: "counted" });
  const bar = filterBar();
  const live = new Live(read);
  const numbers = new Numbers();
  const newest = new Newest((found) => {
    numbers.show(found);
    counts = found && tally(found.jobs);
    fill(tabs, statusLinks(counts));
    fill(counted, found && `Based on ${found.whole ? "all" : "the newest"} ${count(found.read, "job")}`);
  });
  let counts = null;

  async function read(signal) {
    const { filters } = here();
    const query = {
      organization_id: organization(), status: filters.status, job_type: filters.type,
      queue_name: filters.queue, search: filters.search, cursor: filters.cursor, limit: ROWS,
    };
    const { data, retryAfter } = await get("jobs", query, signal);
    list.removeAttribute("aria-busy");
    fill(list, data.jobs.length ? table(data.jobs) : empty(filters, data.cursor),
      pages(filters, data));
    const going = data.jobs.some((job) => !FINISHED.has(job.status));
    return Math.max(retryAfter ?? 0, going ? SECONDS_WHILE_RUNNING : SECONDS_WHILE_IDLE);
  }

  function follow() {
    fill(tabs, statusLinks(counts));
    followFilters(bar);
    list.setAttribute("aria-busy", "true");
    newest.read();
    return live.now();
  }

  fill(root,
    h("div", { class: "head" }, h("h1", {}, "Jobs"), live.element),
    h("div", { class: "states" }, tabs, counted), bar, numbers.element, list);
  fill(tabs, statusLinks());
  newest.start();
  live.start();
  return {
    follow,
    stop: () => { live.stop(); newest.stop(); },
    does: {
      again: () => live.now(),
      filter: (element) => { location.hash = filtered("", element, { status: here().filters.status }); },
    },
  };
}

function table(jobs) {
  return h("table", { class: "jobs", role: "table" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
      ["Status", "Job", "Progress", "Queue", "Organization", "Created"].map((name) =>
        h("th", { role: "columnheader", scope: "col" }, name)))),
    h("tbody", { role: "rowgroup" }, jobs.map(row)));
}

function row(job) {
  const cell = (name, ...children) => h("td", { role: "cell", class: name }, ...children);
  return h("tr", { role: "row", "data-key": job.id },
    cell("state", statusMark(job.status, job.cancel_requested)),
    cell("what",
      h("a", { class: "whole", href: `#/job/${job.id}` }, job.job_type),
      h("span", { class: "words" }, inWords(job))),
    cell("progress", progress(job)),
    cell("queue", job.queue_name),
    cell("organization", job.organization_id),
    cell("when", age(job.created_at)));
}

/** A job's error or result message. */
function inWords(job) {
  if (job.error && job.status !== "succeeded") return `${job.error.kind}: ${job.error.message}`;
  return job.result_message ?? "";
}

function progress(job) {
  const words = (...children) => h("span", { class: "number" }, children);
  switch (job.status) {
    case "running":
      return progressBar(job);
    case "succeeded":
      return words("took ", duration(between(job.started_at, job.finished_at)));
    case "scheduled":
      return words(isPast(job.run_at) ? "due" : ["starts ", age(job.run_at)]);
    case "waiting":
      return job.waits_for && words({ line: "in line", job: "after a job", signal: "for a signal", group: "for its group" }[job.waits_for.kind] ?? "paused");
    case "retryable":
      return words(isPast(job.run_at) ? "due" : ["retries ", age(job.run_at)]);
    default:
      return job.progress > 0 && words(`at ${Math.floor(job.progress)} %`);
  }
}

const isPast = (iso) => new Date(iso) <= Date.now();

function empty(filters, cursor) {
  if (cursor) return h("p", { class: "empty" }, "No matches so far.");
  const narrowed = filters.status || filters.type || filters.queue || filters.search;
  if (narrowed) {
    return h("p", { class: "empty" }, "No matching jobs. ",
      h("a", { href: to("", { org: filters.org }) }, "Show all"));
  }
  return h("p", { class: "empty" },
    organization() ? `${organization()} has no jobs yet. ` : "No jobs yet. ",
    h("a", { href: to("new") }, "Dispatch one"));
}

function pages(filters, { jobs, cursor }) {
  const newest = { ...filters, cursor: "" };
  return h("nav", { class: "pages", "aria-label": "More jobs" },
    filters.cursor && h("a", { href: to("", newest) }, "Newest"),
    h("span", { class: "quiet" }, jobs.length ? count(jobs.length, "job") : ""),
    cursor && h("a", { href: to("", { ...filters, cursor }) },
      jobs.length < ROWS ? "Search older jobs" : "Older"));
}

function skeleton() {
  return h("div", { class: "skeleton", "data-key": "skeleton" },
    Array.from({ length: 8 }, () => h("div", {})), h("p", { class: "unseen" }, "Loading"));
}
