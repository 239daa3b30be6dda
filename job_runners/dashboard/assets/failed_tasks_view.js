// The tasks that failed permanently in the last week, with their errors and payloads, and a button to resend each.

import { redriveTask } from "./actions.js";
import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { failedTabs } from "./failed_tabs.js";
import { age, count, jsonBox } from "./format.js";
import { Live } from "./live.js";
import { here, to } from "./route.js";

const ROWS = 50;
const SECONDS = 10;
const PAGE = "failed/tasks";

export function failedTasksView(root) {
  document.title = "Failed tasks · Job Runners";
  const list = h("section", { "aria-label": "Failed tasks", "aria-busy": "true" },
    h("p", { class: "quiet loading", "data-key": "loading" }, "Loading"));
  const live = new Live(read);
  const whole = new Set(); // names of the boxes with a full payload
  let tasks = [];
  let cursor = null;

  async function read(signal) {
    const query = { cursor: here().filters.cursor, limit: ROWS };
    const { data } = await get("tasks/failed", query, signal);
    ({ tasks, cursor } = data);
    list.removeAttribute("aria-busy");
    show();
    return SECONDS;
  }

  function show() {
    fill(list, tasks.length ? table(tasks, whole) : empty(), unkept(tasks), pages(cursor));
  }

  fill(root,
    h("div", { class: "head" }, h("h1", {}, "Failed"), live.element), failedTabs("tasks"),
    h("p", { class: "lead" },
      "Tasks that failed permanently in the last week, most recently dispatched first. Tasks have no "
      + "organization, so only services see them."),
    list);
  live.start();
  return {
    follow: () => live.now(),
    stop: () => live.stop(),
    does: {
      again: () => live.now(),
      whole: (button) => {
        whole.add(button.dataset.name);
        show();
      },
      redrive: async (button) => {
        const task = tasks.find((each) => each.id === button.dataset.id);
        if (await redriveTask(task)) await live.now();
      },
    },
  };
}

function table(tasks, whole) {
  return h("table", { class: "jobs failed", role: "table", "data-key": "table" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
      ["Task", "Error", "Attempts", "Failed", ""].map((name) =>
        h("th", { role: "columnheader", scope: "col" }, name || h("span", { class: "unseen" }, "Actions"))))),
    h("tbody", { role: "rowgroup" }, tasks.map((task) => row(task, whole))));
}

function row(task, whole) {
  const cell = (name, ...children) => h("td", { role: "cell", class: name }, ...children);
  return h("tr", { role: "row", "data-key": task.id },
    cell("what", h("span", { class: "named" }, task.task_name),
      h("span", { class: "words task-id" }, task.id), task.worker && h("span", { class: "words" }, `worker ${task.worker}`)),
    cell("why", h("span", { class: "kind" }, task.error.kind), " ",
      h("span", { class: "words" }, task.error.message),
      task.redriven_at && h("span", { class: "waits" }, "resent ", age(task.redriven_at), ", not started yet"),
      task.payload && h("details", {}, h("summary", {}, "Payload"),
        jsonBox(boxOf(task), task.payload, whole.has(boxOf(task))))),
    cell("attempts", count(task.attempt, "attempt")),
    cell("when", age(task.failed_at)),
    cell("do", task.payload && h("button", {
      class: "plain", type: "button", "data-do": "redrive", "data-id": task.id,
      "aria-label": `Resend ${task.task_name}, ${task.id.slice(0, 8)}`,
    }, "Resend")));
}

const boxOf = (task) => `Payload of ${task.task_name}, ${task.id.slice(0, 8)},`;

function empty() {
  return h("p", { class: "empty", "data-key": "empty" }, here().filters.cursor
    ? "No older failed tasks."
    : "No failed tasks in the last week.");
}

/** The note about tasks without a button. */
function unkept(tasks) {
  return tasks.some((task) => !task.payload) && h("p", { class: "note", "data-key": "unkept" },
    "Tasks without a button can't be resent, because their payloads weren't kept. Set KeepTaskPayloads=true to keep "
    + "future payloads.");
}

function pages(cursor) {
  return h("nav", { class: "pages", "aria-label": "More failed tasks", "data-key": "pages" },
    here().filters.cursor && h("a", { href: to(PAGE) }, "Newest"),
    cursor && h("a", { href: to(PAGE, { cursor }) }, "Older"));
}
