// The error groups: what fails, most recently seen first. Each group leads to its jobs, and can be retried, noted and resolved.

import { call, get } from "./api.js";
import { BulkRetry } from "./bulk_retry.js";
import { fill, h } from "./dom.js";
import { failedTabs } from "./failed_tabs.js";
import { age, COUNT } from "./format.js";
import { Live } from "./live.js";
import { here, organization, to } from "./route.js";
import { say } from "./say.js";

const SECONDS = 10;
const RATE = 5; // jobs per second, unless the user changes it
const MOST = 1000; // jobs that one click retries

export function failedGroupsView(root) {
  document.title = "Failures · Job Runners";
  const list = h("section", { "aria-label": "Failures", "aria-busy": "true" },
    h("p", { class: "quiet loading", "data-key": "loading" }, "Loading"));
  const live = new Live(read);
  const bulk = new BulkRetry(() => live.now());
  let groups = [];

  async function read(signal) {
    const { data } = await get("error-groups", { organization_id: organization() }, signal);
    groups = data.error_groups;
    list.removeAttribute("aria-busy");
    fill(list, groups.length ? table(groups) : empty());
    return SECONDS;
  }

  async function change(group, fields) {
    const path = `error-groups/${encodeURIComponent(group.id)}`;
    const query = organization() ? `?${new URLSearchParams({ organization_id: organization() })}` : "";
    await call("PUT", path + query, { body: fields });
    await live.now();
  }

  const of = (element) => groups.find((each) => each.id === element.dataset.id);

  fill(root,
    h("div", { class: "head" }, h("h1", {}, "Failed"), live.element), failedTabs("groups"),
    h("p", { class: "lead" },
      "Failed jobs of one type with one kind of error in one function are one group. The numbers and times are approximate: "
        + "a failure may be counted with the next one, or not at all."),
    h("p", { class: "inline rate" },
      h("label", { for: "rate" }, "Retry at most "),
      h("input", { id: "rate", type: "number", min: 0.1, max: 100, step: "any", value: RATE }), " jobs per second"),
    bulk.element, list);
  live.start();
  return {
    follow: () => live.now(),
    stop: () => { live.stop(); bulk.stop(); },
    does: {
      again: () => live.now(),
      "retry-group": async (button) => {
        const jobs = await jobsOf(of(button));
        if (!jobs.length) say("The group has no failed jobs now");
        await bulk.run(jobs, Number(document.getElementById("rate").value) || RATE);
      },
      "stop-retrying": () => bulk.stop(),
      resolve: (button) => change(of(button), { resolved: of(button).state !== "resolved" }),
      note: (form) => change(of(form), { note: form.elements.note.value.trim() || null }),
    },
  };
}

/** The failed jobs of a group, at most MOST. */
async function jobsOf(group) {
  const jobs = [];
  let cursor = null;
  do {
    const query = { error_group: group.id, organization_id: organization(), limit: 100, cursor };
    const { data } = await get("jobs", query);
    jobs.push(...data.jobs);
    cursor = data.cursor;
  } while (cursor && jobs.length < MOST);
  return jobs.slice(0, MOST);
}

function table(groups) {
  return h("table", { class: "jobs failed groups", role: "table", "data-key": "table" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
      ["Job", "Error", "Failures", "Last seen", ""].map((name) =>
        h("th", { role: "columnheader", scope: "col" }, name || h("span", { class: "unseen" }, "Actions"))))),
    h("tbody", { role: "rowgroup" }, groups.map(row)));
}

function row(group) {
  const cell = (name, ...children) => h("td", { role: "cell", class: name }, ...children);
  const { filters } = here();
  const what = `${group.job_type}, ${group.error_kind}`;
  const button = (action, words) => h("button", {
    class: "plain", type: "button", "data-do": action, "data-id": group.id, "aria-label": `${words} ${what}`,
  }, words);
  return h("tr", { role: "row", "data-key": group.id },
    cell("what", h("a", { class: "whole", href: to("failed", { org: filters.org, error_group: group.id }) }, group.job_type),
      group.state !== "known" && h("span", { class: `mark ${group.state}` }, group.state)),
    cell("why", h("span", { class: "kind" }, group.error_kind), " ",
      group.frame && h("span", { class: "words" }, group.frame),
      noteForm(group, what)),
    cell("attempts", COUNT.format(group.failures)),
    cell("when", age(group.last_seen_at),
      h("span", { class: "words" }, "first ", age(group.first_seen_at),
        group.first_build && group.first_build !== "unknown" ? ` in build ${group.first_build}` : "")),
    cell("do", h("span", { class: "buttons" }, button("retry-group", "Retry"),
      button("resolve", group.state === "resolved" ? "Reopen" : "Resolve"))));
}

function noteForm(group, what) {
  return h("details", {}, h("summary", {}, group.note ?? "Add a note"),
    h("form", { "data-submit": "note", "data-id": group.id },
      h("input", { name: "note", value: group.note ?? "", maxlength: 500, "aria-label": `Note on ${what}` }), " ",
      h("button", { class: "plain", type: "submit" }, "Save")));
}

function empty() {
  return h("p", { class: "empty", "data-key": "empty" }, "No job has failed.");
}
