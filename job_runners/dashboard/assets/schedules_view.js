// An organization's schedules, each with its last and next occurrence, a pause switch, and buttons that run its job
// now and delete the schedule.

import { sayDispatched } from "./actions.js";
import { call, get } from "./api.js";
import { fill, h } from "./dom.js";
import { age, coming, statusMark } from "./format.js";
import { Live } from "./live.js";
import { here, organization, to } from "./route.js";
import { ask, say } from "./say.js";

const DAY_AND_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const SECONDS = 10;
const ROWS = 50;

export function schedulesView(root) {
  document.title = "Schedules · Job Runners";
  const list = h("section", { "aria-label": "Schedules", "aria-busy": "true" },
    h("p", { class: "quiet loading", "data-key": "loading" }, "Loading"));
  const live = new Live(read);

  async function read(signal) {
    const query = { organization_id: organization(), cursor: here().filters.cursor, limit: ROWS };
    const { data } = await get("schedules", query, signal);
    list.removeAttribute("aria-busy");
    fill(list, data.schedules.length ? table(data.schedules) : empty(), pages(data.cursor));
    return SECONDS;
  }

  async function change(button, does) {
    button.disabled = true;
    try {
      await does(button.dataset.name);
    } finally {
      button.disabled = false;
      await live.now();
    }
  }

  const whose = h("form", { class: "inline", role: "search", "data-submit": "whose" },
    h("label", { for: "org" }, "Organization"),
    h("input", {
      id: "org", name: "org", "data-change": "whose", placeholder: "Your own", autocomplete: "off",
      spellcheck: "false",
    }));
  follow(whose);
  fill(root,
    h("div", { class: "head" }, h("h1", {}, "Schedules"), live.element,
      h("a", { class: "plain", href: to("schedules/new") }, "New schedule")),
    h("p", { class: "lead" },
      "Schedules dispatch jobs by cron or interval. A paused schedule skips its occurrences, but you can still run "
      + "its job."),
    whose, list);
  live.start();
  return {
    follow: () => {
      follow(whose);
      return live.now();
    },
    stop: () => live.stop(),
    does: {
      again: () => live.now(),
      whose: (element) => {
        const { org } = Object.fromEntries(new FormData(element.closest("form")));
        location.hash = to("schedules", { org: org.trim() });
      },
      switch: (button) => change(button, async (name) => {
        const pause = button.getAttribute("aria-checked") !== "true";
        await call(pause ? "PUT" : "DELETE", path(name, "/paused"));
        say(pause ? `${name} is paused` : `${name} is resumed`);
      }),
      run: (button) => change(button, runNow),
      delete: (button) => change(button, remove),
    },
  };
}

async function runNow(name) {
  const words = "Dispatches the job once, in addition to its scheduled occurrences.";
  if (!(await ask(`Run ${name} now?`, words, "Run now", { no: "Not now" }))) return;
  const headers = { "Idempotency-Key": crypto.randomUUID() };
  const answer = await call("POST", path(name, "/run"), { headers });
  sayDispatched(answer);
  location.hash = `#/job/${answer.data.id}`;
}

async function remove(name) {
  const words = "The schedule stops. Its jobs remain.";
  if (!(await ask(`Delete ${name}?`, words, "Delete", { danger: true }))) return;
  await call("DELETE", path(name));
  say("Deleted");
}

function path(name, verb = "") {
  const whose = organization();
  const query = whose ? `?${new URLSearchParams({ organization_id: whose })}` : "";
  return `schedules/${encodeURIComponent(name)}${verb}${query}`;
}

function follow(form) {
  form.elements.org.value = organization();
}

function table(schedules) {
  return h("table", { class: "schedules", role: "table", "data-key": "table" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
      ["Schedule", "Last", "Next", "Paused", ""].map((name) =>
        h("th", { role: "columnheader", scope: "col" }, name || h("span", { class: "unseen" }, "Actions"))))),
    h("tbody", { role: "rowgroup" }, schedules.map(row)));
}

function row(schedule) {
  const cell = (name, ...children) => h("td", { role: "cell", class: name }, ...children);
  return h("tr", { role: "row", "data-key": schedule.name },
    cell("what", h("span", { class: "named" }, schedule.name),
      h("span", { class: "words" }, schedule.words),
      h("span", { class: "words" }, schedule.job_type, ", ", origin(schedule))),
    cell("last", last(schedule)),
    cell("next", next(schedule)),
    cell("pause", pauseSwitch(schedule)),
    cell("do", h("span", { class: "buttons" },
      actionButton("run", schedule, "Run now", `Run ${schedule.name} now`),
      schedule.origin === "api" && actionButton("delete", schedule, "Delete", `Delete ${schedule.name}`))));
}

/** The origin of a schedule: the code or the API. */
function origin({ origin: has, declared }) {
  if (has === "code") return declared === false ? "declared by another version" : "declared in code";
  return declared ? "added over the API (overrides the code)" : "added over the API";
}

/** The last occurrence that started, with its job's status, and the last one that didn't. */
function last(schedule) {
  const { last: started, last_skipped_at: skipped, last_failed_at: failed, error } = schedule;
  const after = (time) => time && (!started || time > started.at);
  const why = error && `${error.kind}: ${error.message}`;
  return [
    started && h("span", { class: "outcome" },
      started.job
        ? h("a", { href: `#/job/${started.job_id}` }, statusMark(started.job.status, started.job.cancel_requested))
        : h("span", { class: "quiet" }, "job deleted"),
      " ", age(started.at)),
    started?.job?.error && h("span", { class: "words" }, `${started.job.error.kind}: ${started.job.error.message}`),
    schedule.retrying && h("span", { class: "note" }, "Starting failed; retrying. ", why),
    after(failed) && h("span", { class: "note" }, "Not started ", age(failed), ". ", why),
    after(skipped) && h("span", { class: "words" }, "skipped ", age(skipped), ": ", schedule.last_skipped_why),
    !started && !skipped && !failed && !schedule.retrying && h("span", { class: "quiet" }, "No occurrences yet"),
  ];
}

/** The next occurrence. The user can open it to see the times of all known ones. */
function next(schedule) {
  const [first] = schedule.next;
  if (!first) return h("span", { class: "quiet" }, schedule.paused_at ? "None while paused" : "No more occurrences");
  return h("details", {},
    h("summary", {}, schedule.waits ? "waiting for the previous job" : coming(first)),
    h("ol", {}, schedule.next.map((time) => h("li", {}, DAY_AND_TIME.format(new Date(time))))));
}

function pauseSwitch({ name, paused_at: paused, paused_by: by }) {
  return [
    h("span", { class: "paused" },
      h("span", {}, paused ? ["paused ", age(paused)] : "not paused"),
      h("button", {
        class: "switch", type: "button", role: "switch", "aria-checked": paused ? "true" : "false",
        "aria-label": `Pause ${name}`, "data-do": "switch", "data-name": name,
      })),
    paused && by && h("span", { class: "words" }, "by ", by),
  ];
}

function actionButton(does, { name }, words, label) {
  return h("button", {
    class: "plain", type: "button", "data-do": does, "data-name": name, "aria-label": label,
  }, words);
}

function empty() {
  return h("p", { class: "empty", "data-key": "empty" }, here().filters.cursor
    ? "No more schedules."
    : ["No schedules yet. ", h("a", { href: to("schedules/new") }, "Add one")]);
}

function pages(cursor) {
  return h("nav", { class: "pages", "aria-label": "More schedules", "data-key": "pages" },
    here().filters.cursor && h("a", { href: to("schedules") }, "First"),
    cursor && h("a", { href: to("schedules", { cursor }) }, "More"));
}
