// The live lists of an organization's jobs: all, newest first, and those that failed, latest failure first. Selected
// jobs can be retried or canceled.

import { retryJob } from "./actions.js";
import { get } from "./api.js";
import { BulkRetry } from "./bulk_retry.js";
import { fill, h } from "./dom.js";
import { failedTabs } from "./failed_tabs.js";
import { filterBar, filtered, followFilters, listQuery, statusLinks } from "./filters.js";
import { age, between, count, COUNT, duration, FINISHED, progressBar, statusMark, waited } from "./format.js";
import { Live } from "./live.js";
import { Newest } from "./newest.js";
import { Numbers, tally } from "./numbers.js";
import { ofQueue, readWorld, waitsOf, whyLate } from "./queue_use.js";
import { here, organization, to, toQueue } from "./route.js";
import { Selection } from "./selection.js";

const ROWS = 25;
const ROWS_FAILED = 50;
const SECONDS_WHILE_RUNNING = 3;
const SECONDS_WHILE_IDLE = 15;
const SECONDS_FAILED = 10;
const SECONDS_BACKLOG = 10;
const MOST_PAGES = 5; // that are read until one has a job
const MOST_LATE = 5; // queues that are named
const MEANINGS = {
  queued: "They could run now. No worker has started them.",
  waiting: "A limit, a pause, another job, a signal or a sleep holds them.",
};

export function jobsView(root, { page }) {
  const failed = page === "failed"; // or else all jobs
  const name = failed ? "Failed" : "Jobs";
  document.title = `${name} · Job Runners`;
  const list = h("section", { "aria-label": failed ? "Failed jobs" : "Jobs", "aria-busy": "true" }, skeleton());
  const tabs = h("nav", { class: "tabs", "aria-label": "Status", "aria-describedby": "counted" });
  const counted = h("p", { class: "counted", id: "counted" });
  const backlog = h("div", {});
  const bar = filterBar();
  const live = new Live(read);
  const bulk = new BulkRetry(() => live.now());
  const selection = new Selection(bulk);
  const numbers = new Numbers();
  const newest = new Newest((found) => {
    numbers.show(found);
    counts = found?.whole ? tally(found.jobs) : null;
    fill(tabs, statusLinks(counts));
    const words = [MEANINGS[here().filters.status], found && counts && `Counted: all ${count(found.read, "job")}`];
    fill(counted, words.filter(Boolean).join(" "));
  });
  let counts = null;
  let late = []; // queues whose jobs wait for too long
  let lateAt = 0; // the time of their last read

  async function read(signal) {
    const { filters } = here();
    const status = failed ? "failed" : filters.status;
    const query = { ...listQuery(filters), status, cursor: filters.cursor, limit: failed ? ROWS_FAILED : ROWS };
    let data, retryAfter;
    let pagesRead = 0;
    do {
      ({ data, retryAfter } = await get("jobs", query, signal));
      query.cursor = data.cursor;
      pagesRead += 1;
    } while (!data.jobs.length && data.cursor && pagesRead < MOST_PAGES);
    list.removeAttribute("aria-busy");
    const show = (shown) => fill(list, failed && oneGroup(filters), shown, pages(page, filters, data, query.limit));
    const none = () => show(empty(filters, data.cursor && pagesRead, failed, late));
    if (data.jobs.length) show(table(data.jobs, failed, selection));
    else none();
    selection.show(data.jobs);
    if (!failed) await readLate(signal);
    if (!data.jobs.length) none(); // now the late queues are known
    const going = data.jobs.some((job) => !FINISHED.has(job.status));
    const seconds = going ? SECONDS_WHILE_RUNNING : SECONDS_WHILE_IDLE;
    return Math.max(retryAfter ?? 0, failed ? SECONDS_FAILED : seconds * pagesRead);
  }

  async function readLate(signal) {
    if (Date.now() - lateAt < SECONDS_BACKLOG * 1000) return;
    const fetched = async (path, query = {}) => (await get(path, query, signal)).data;
    lateAt = Date.now();
    let queues, world;
    try {
      [{ queues }, world] = await Promise.all([fetched("queues", { limit: 100 }), readWorld(fetched, { organization_id: organization() }, true)]);
    } catch (problem) {
      if (problem.status === undefined || problem.status === 401) throw problem;
      return; // the list is shown without them
    }
    const others = new Set(world.backlog.jobs.map((each) => each.queue_name));
    for (const each of queues) others.delete(each.name);
    late = [...queues, ...[...others].map((other) => ({ name: other, keys: [] }))].map((each) => ofQueue(each, world))
      .map((each) => ({ ...each, reasons: whyLate(each) })).filter(({ reasons }) => reasons.length)
      .sort((one, other) => (one.since < other.since ? -1 : 1));
    fill(backlog, lateQueues(late));
  }

  function follow() {
    followFilters(bar);
    list.setAttribute("aria-busy", "true");
    if (!failed) {
      fill(tabs, statusLinks(counts));
      newest.read();
    }
    lateAt = 0;
    return live.now();
  }

  fill(root,
    h("div", { class: "head" }, h("h1", {}, name), live.element),
    failed ? failedTabs("jobs") : [backlog, h("div", { class: "states" }, tabs, counted)],
    bar, !failed && numbers.element, selection.element, bulk.element, list);
  if (!failed) {
    fill(tabs, statusLinks());
    newest.start();
  }
  live.start();
  return {
    follow,
    stop: () => { live.stop(); newest.stop(); bulk.stop(); },
    does: {
      ...selection.does,
      again: () => live.now(),
      filter: (element) => {
        const { status, error_group } = here().filters;
        location.hash = filtered(failed ? "failed" : "", element, { status, error_group });
      },
      retry: async (button) => {
        button.disabled = true;
        try {
          await retryJob({ id: button.dataset.id });
          await live.now();
        } finally {
          button.disabled = false;
        }
      },
    },
  };
}

/** A line about each queue whose jobs wait for too long. */
function lateQueues(late) {
  const rest = late.length - MOST_LATE;
  return late.length > 0 && h("div", { class: "backlog", role: "note" },
    h("p", {}, "Jobs wait in ", h("b", {}, count(late.length, "queue")), ":"),
    h("ul", {}, late.slice(0, MOST_LATE).map((queue) => h("li", {}, h("a", { href: toQueue(queue.name) }, queue.name), ": ",
      waitsOf(queue).map((each, index) => [index > 0 && ", ", each]), queue.since && [", the oldest for ", h("b", {}, waited(queue.since))],
      queue.lastStart && [", the last start ", age(queue.lastStart)],
      ". ", h("span", { class: "cause" }, queue.reasons))),
    rest > 0 && h("li", {}, "and ", h("a", { href: to("queues") }, count(rest, "more queue")))));
}

/** A note that only the jobs of one group are shown. */
function oneGroup(filters) {
  return filters.error_group && h("p", { class: "note", "data-key": "group" },
    "Only the jobs of one group are shown. ", h("a", { href: to("failed", { org: filters.org }) }, "Show all failed jobs"));
}

function table(jobs, failed, selection) {
  const columns = failed ? ["Job", "Error", "Attempts", "Failed", "Actions"] : ["Status", "Job", "Progress", "Queue", "Created"];
  return h("table", { class: failed ? "jobs failed" : "jobs", role: "table", "data-key": "table" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
      h("th", { role: "columnheader", scope: "col", class: "pick" }, selection.box()),
      columns.map((name) => h("th", { role: "columnheader", scope: "col" },
        name === "Actions" ? h("span", { class: "unseen" }, name) : name)))),
    h("tbody", { role: "rowgroup" }, jobs.map((job) => h("tr", { role: "row", "data-key": job.id },
      cell("pick", selection.box(job)), failed ? failedCells(job) : cells(job)))));
}

function cell(name, ...children) {
  return h("td", { role: "cell", class: name }, ...children);
}

/** The cell with what tells a job from others of its type: the start of its id, its key and its message. */
function what(job, ...words) {
  return cell("what",
    h("a", { class: "whole", href: `#/job/${job.id}` }, job.job_type), " ", h("code", { class: "short" }, job.id.slice(0, 8)),
    h("span", { class: "words" }, [job.concurrency_key !== "*" && job.concurrency_key, ...words].filter(Boolean).join(" · ")));
}

function cells(job) {
  const message = job.error && job.status !== "succeeded" ? `${job.error.kind}: ${job.error.message}` : job.result_message;
  return [
    cell("state", statusMark(job.status, job.cancel_requested)), what(job, message),
    cell("progress", progress(job)), cell("queue", job.queue_name), cell("when", age(job.created_at)),
  ];
}

function failedCells(job) {
  return [
    what(job, job.queue_name),
    cell("why", h("span", { class: "kind" }, job.error?.kind ?? "unknown"), " ",
      h("span", { class: "words" }, job.error?.message)),
    cell("attempts", `${job.attempt} of ${job.max_attempts}`),
    cell("when", age(job.finished_at)),
    cell("do", h("button", {
      class: "plain", type: "button", "data-do": "retry", "data-id": job.id,
      "aria-label": `Retry ${job.job_type}, ${job.id.slice(0, 8)}`,
    }, "Retry")),
  ];
}

const WAITS = { line: "in line", job: "after a job", signal: "for a signal", group: "for its group" };

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
      return job.waits_for && words(WAITS[job.waits_for.kind] ?? "paused");
    case "retryable":
      return words(isPast(job.run_at) ? "due" : ["retries ", age(job.run_at)]);
    default:
      return job.progress > 0 && words(`at ${Math.floor(job.progress)} %`);
  }
}

const isPast = (iso) => new Date(iso) <= Date.now();

function empty(filters, read, failed, late) {
  const { org, status, type, queue, search, time, error_group, cursor: from } = filters;
  const narrowed = (!failed && status) || type || queue || search || time || error_group;
  const words = (...children) => h("p", { class: "empty", "data-key": "empty" }, children);
  if (read) {
    const oldest = status === "queued" && late.find(({ queued, oldestId }) => queued && oldestId);
    const isOld = oldest && Date.now() - new Date(oldest.since) > 3_600_000;
    return words(`None of ${from ? "these" : "the newest"} ${COUNT.format(200 * read)} jobs matches. `, oldest && h("a", {
      href: isOld ? to("", { ...filters, cursor: "", queue: oldest.name, time: "-1h" }) : `#/job/${oldest.oldestId}`,
    }, isOld ? `Show those of ${oldest.name} from over 1 hour ago` : `Show the oldest of ${oldest.name}`));
  }
  if (narrowed) {
    return failed
      ? words("No matching failed jobs. ", h("a", { href: to("failed", { org }) }, "Show all failed jobs"))
      : words("No matching jobs. ", h("a", { href: to("", { org }) }, "Show all"));
  }
  if (failed) return words("No failed jobs.");
  return words(organization() ? `${organization()} has no jobs yet. ` : "No jobs yet. ",
    h("a", { href: to("new") }, "Dispatch one"));
}

function pages(page, filters, { jobs, cursor }, rows) {
  const path = page === "failed" ? page : "";
  return h("nav", { class: "pages", "aria-label": "More jobs", "data-key": "pages" },
    filters.cursor && h("a", { href: to(path, { ...filters, cursor: "" }) }, "Newest"),
    jobs.length > 0 && h("span", { class: "quiet" }, `${COUNT.format(jobs.length)} listed`),
    cursor && h("a", { href: to(path, { ...filters, cursor }) }, jobs.length < rows ? "Search older jobs" : "Older"));
}

function skeleton() {
  return h("div", { class: "skeleton", "data-key": "skeleton" },
    Array.from({ length: 8 }, () => h("div", {})), h("p", { class: "unseen" }, "Loading"));
}
