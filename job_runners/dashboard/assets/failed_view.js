// The failed jobs, latest failure first, with their errors and buttons to retry one or all shown.

import { retryJob } from "./actions.js";
import { get } from "./api.js";
import { BulkRetry } from "./bulk_retry.js";
import { fill, h } from "./dom.js";
import { failedTabs } from "./failed_tabs.js";
import { filterBar, filtered, followFilters } from "./filters.js";
import { age, count } from "./format.js";
import { Live } from "./live.js";
import { here, organization, to } from "./route.js";

const ROWS = 50;
const SECONDS = 10;

export function failedView(root) {
  document.title = "Failed · Job Runners";
  const list = h("section", { "aria-label": "Failed jobs", "aria-busy": "true" },
    h("p", { class: "quiet loading", "data-key": "loading" }, "Loading"));
  const bar = filterBar();
  const live = new Live(read);
  const bulk = new BulkRetry(() => live.now());
  let jobs = [];
  let cursor = null;

  async function read(signal) {
    const { filters } = here();
    const query = {
      status: "failed", organization_id: organization(), job_type: filters.type,
      queue_name: filters.queue, search: filters.search, failure: filters.failure, cursor: filters.cursor, limit: ROWS,
    };
    const { data, retryAfter } = await get("jobs", query, signal);
    ({ jobs, cursor } = data);
    list.removeAttribute("aria-busy");
    show();
    return Math.max(retryAfter ?? 0, SECONDS);
  }

  const shown = () => jobs.filter((job) => !here().filters.why || why(job) === here().filters.why);

  function show() {
    fill(list, oneGroup(), reasons(jobs), shown().length ? [summary(shown(), bulk), table(shown())] : empty(cursor),
      pages(cursor));
  }

  fill(root,
    h("div", { class: "head" }, h("h1", {}, "Failed"), live.element), failedTabs("jobs"), bar,
    bulk.element, list);
  live.start();
  return {
    follow: () => {
      followFilters(bar);
      return live.now();
    },
    stop: () => { live.stop(); bulk.stop(); },
    does: {
      again: () => live.now(),
      filter: (element) => { location.hash = filtered("failed", element); },
      retry: async (button) => {
        button.disabled = true;
        try {
          await retryJob({ id: button.dataset.id });
          await live.now();
        } finally {
          button.disabled = false;
        }
      },
      "retry-all": () => bulk.run(shown()),
      "stop-retrying": () => bulk.stop(),
    },
  };
}

const why = (job) => `${job.job_type}: ${job.error?.kind ?? "unknown"}`;

/** A note that only the jobs of one group are shown. */
function oneGroup() {
  const { filters } = here();
  return filters.failure && h("p", { class: "note", "data-key": "group" },
    "Only the jobs of one group are shown. ", h("a", { href: to("failed", { org: filters.org }) }, "Show all failed jobs"));
}

/** Filters by kind of failure, the most frequent first. */
function reasons(jobs) {
  const tally = new Map();
  for (const job of jobs) tally.set(why(job), (tally.get(why(job)) ?? 0) + 1);
  if (tally.size < 2) return null;
  const { filters } = here();
  const link = (value, words) => h("a", {
    href: to("failed", { ...filters, why: value }), "data-key": value || "all",
    "aria-current": (filters.why ?? "") === value ? "page" : null,
  }, words);
  const sorted = [...tally].sort((one, other) => other[1] - one[1]);
  return h("nav", { class: "tabs why", "aria-label": "Reasons", "data-key": "reasons" },
    link("", "All reasons"),
    sorted.map(([value, number]) => link(value, [value, " ", h("b", {}, number)])));
}

function summary(jobs, bulk) {
  return h("div", { class: "summary", "data-key": "summary" },
    h("span", {}, `${count(jobs.length, "failed job")} shown`),
    h("button", {
      class: "button", type: "button", "data-do": "retry-all", disabled: bulk.running,
    }, jobs.length === 1 ? "Retry" : `Retry all ${jobs.length}`));
}

function table(jobs) {
  return h("table", { class: "jobs failed", role: "table", "data-key": "table" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
      ["Job", "Error", "Attempts", "Failed", ""].map((name) =>
        h("th", { role: "columnheader", scope: "col" }, name || h("span", { class: "unseen" }, "Actions"))))),
    h("tbody", { role: "rowgroup" }, jobs.map(row)));
}

function row(job) {
  const cell = (name, ...children) => h("td", { role: "cell", class: name }, ...children);
  return h("tr", { role: "row", "data-key": job.id },
    cell("what", h("a", { class: "whole", href: `#/job/${job.id}` }, job.job_type),
      h("span", { class: "words" }, job.queue_name)),
    cell("why", h("span", { class: "kind" }, job.error?.kind ?? "unknown"), " ",
      h("span", { class: "words" }, job.error?.message)),
    cell("attempts", `${job.attempt} of ${job.max_attempts}`),
    cell("when", age(job.finished_at)),
    cell("do", h("button", {
      class: "plain", type: "button", "data-do": "retry", "data-id": job.id,
      "aria-label": `Retry ${job.job_type}, ${job.id.slice(0, 8)}`,
    }, "Retry")));
}

function empty(cursor) {
  const { filters } = here();
  const narrowed = filters.failure || filters.type || filters.queue || filters.search || filters.why;
  if (cursor) return h("p", { class: "empty", "data-key": "empty" }, "No matches so far.");
  if (narrowed) {
    return h("p", { class: "empty", "data-key": "empty" }, "No matching failed jobs. ",
      h("a", { href: to("failed", { org: filters.org }) }, "Show all failed jobs"));
  }
  return h("p", { class: "empty", "data-key": "empty" }, "No failed jobs.");
}

function pages(cursor) {
  const { filters } = here();
  return h("nav", { class: "pages", "aria-label": "More failed jobs", "data-key": "pages" },
    filters.cursor && h("a", { href: to("failed", { ...filters, cursor: "" }) }, "Newest"),
    cursor && h("a", { href: to("failed", { ...filters, cursor }) }, "Older"));
}
