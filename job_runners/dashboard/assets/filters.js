// The filters above a list. The address stores them, and the form shows them.

import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { COUNT, STATUSES } from "./format.js";
import { here, organization, to } from "./route.js";

let jobTypes = null; // read once

/** The job types: [{name, description, queue_name, payload_schema}]. */
export async function knownJobTypes() {
  jobTypes ??= get("job-types").then(({ data }) => data.jobs);
  try {
    return await jobTypes;
  } catch (problem) {
    jobTypes = null; // so that the next call reads again
    throw problem;
  }
}

const HOUR = 3_600_000;
const TIMES = {
  "15m": ["Last 15 minutes", HOUR / 4], "1h": ["Last hour", HOUR], "1d": ["Last 24 hours", 24 * HOUR],
  "7d": ["Last 7 days", 168 * HOUR], "-1h": ["Over 1 hour ago", -HOUR], "-1d": ["Over 24 hours ago", -24 * HOUR],
};

/** The API's query for the filters of the address. */
export function listQuery({ type, queue, search, time, error_group }) {
  const span = TIMES[time]?.[1] ?? 0;
  const at = new Date(Date.now() - Math.abs(span)).toISOString();
  return {
    organization_id: organization(), job_type: type, queue_name: queue, search, error_group,
    since: span > 0 ? at : null, until: span < 0 ? at : null,
  };
}

/** Links to each status, with counts if they are known. Failed jobs have their own page. */
export function statusLinks(counts = null) {
  const { filters } = here();
  const kept = { ...filters, cursor: "" };
  const link = (status, words) => h("a", {
    href: status === "failed" ? to("failed", { ...kept, status: "" }) : to("", { ...kept, status }),
    "aria-current": (filters.status ?? "") === status ? "page" : null,
  }, words, counts?.[status] ? h("span", { class: "count" }, " ", COUNT.format(counts[status])) : "");
  return [link("", "All"), STATUSES.map((status) => link(status, capital(status)))];
}

/** The address with the form's filters, or the address of a job if the search is a full id. */
export function filtered(page, element, kept = {}) {
  const fields = Object.fromEntries(new FormData(element.closest("form")));
  const search = fields.search.trim();
  if (/^[0-9a-f]{32}$/i.test(search)) return `#/job/${search.toLowerCase()}`;
  return to(page, { ...fields, search, ...kept });
}

/** The form with search, type, queue, time and organization. */
export function filterBar() {
  const bar = h("form", { class: "filters", role: "search", "data-submit": "filter" },
    field("search", "Search", h("input", {
      id: "search", name: "search", type: "search", "data-change": "filter", maxlength: 256,
      placeholder: "Start of an id or message", autocomplete: "off", spellcheck: "false",
    })),
    field("type", "Type", h("select", { id: "type", name: "type", "data-change": "filter" },
      h("option", { value: "" }, "Any"))),
    field("queue", "Queue", h("input", {
      id: "queue", name: "queue", placeholder: "Any", list: "queues", "data-change": "filter",
      autocomplete: "off", spellcheck: "false",
    })),
    h("datalist", { id: "queues" }),
    field("time", "Time", h("select", { id: "time", name: "time", "data-change": "filter" },
      h("option", { value: "" }, "Any"), Object.entries(TIMES).map(([value, [words]]) => h("option", { value }, words)))),
    field("org", "Organization", h("input", {
      id: "org", name: "org", "data-change": "filter", placeholder: "Your own",
      autocomplete: "off", spellcheck: "false",
    })));
  followFilters(bar);
  knownJobTypes().then((types) => offer(bar, types), () => {}); // the list shows the same error
  return bar;
}

/** Update the form from the address. */
export function followFilters(bar) {
  const { filters } = here();
  const { search, queue, org, time } = bar.elements;
  followType(bar);
  queue.value = filters.queue ?? "";
  search.value = filters.search ?? "";
  time.value = filters.time ?? "";
  org.value = organization();
}

function followType(bar) {
  const { type } = bar.elements;
  const wanted = here().filters.type ?? "";
  if (wanted && ![...type.options].some((each) => each.value === wanted)) {
    type.append(h("option", { value: wanted }, wanted));
  }
  type.value = wanted;
}

function offer(bar, types) {
  const options = [h("option", { value: "" }, "Any"),
    types.map(({ name }) => h("option", { value: name }, name))];
  bar.elements.type.replaceChildren(...options.flat());
  const queues = [...new Set(types.map((each) => each.queue_name))];
  fill(bar.querySelector("datalist"), queues.map((name) => h("option", { value: name })));
  followType(bar); // only this field, because the user may be typing in another
}

function field(id, words, control) {
  return h("div", { class: "field" }, h("label", { for: id }, words), control);
}

export function capital(word) {
  return word[0].toUpperCase() + word.slice(1);
}
