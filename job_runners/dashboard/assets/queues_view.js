// The page of all queues shows their slots in use, waiting jobs, limits and pause switches, and the
// pause switches of the job types. If the address names a queue, the page shows that queue with all
// its keys in use. A caller that may change its limits also gets a form for them.

import { call, get } from "./api.js";
import { fill, h } from "./dom.js";
import { knownJobTypes } from "./filters.js";
import { age, coming, COUNT } from "./format.js";
import { Live } from "./live.js";
import { here, to } from "./route.js";
import { ask, say } from "./say.js";

const SECONDS = 10;
const ROWS = 100;
const DEFAULT_MAX_WAITING = 10_000; // of a queue that the code doesn't declare

export function queuesView(root, { rest: [name] }) {
  document.title = `${name ?? "Queues"} · Job Runners`;
  const body = h("div", { "aria-busy": "true" }, h("p", { class: "quiet loading", "data-key": "loading" }, "Loading"));
  const live = new Live(read);
  const own = `queues/${encodeURIComponent(name)}`;

  async function read(signal) {
    const { cursor } = here().filters;
    const { data } = await get(name ? own : "queues", { cursor, limit: ROWS }, signal);
    const queues = name ? [data] : data.queues;
    const shown = [section(name ? "Keys in use" : "Queues", table("Queue", queues.map((each) => queueRows(each, name))), data)];
    if (data.may_limit) shown.push(section("Change limits", limitsForm(data)));
    if (!name) {
      const types = await knownJobTypes();
      const { paused } = (await get("paused", {}, signal)).data;
      const rows = jobTypeRows(types, paused.filter((each) => each.kind === "job_type"));
      shown.push(section("Job types", table("Job type", rows)));
    }
    body.removeAttribute("aria-busy");
    fill(body, shown);
    return SECONDS;
  }

  fill(root, h("div", { class: "head" },
      name ? h("a", { class: "back", href: to("queues") }, "All queues") : h("h1", {}, "Queues"), live.element),
    name && h("h1", { class: "id" }, name),
    !name && h("p", { class: "lead" },
      "Jobs wait when all slots are busy or the rate limit is reached. Within 10 seconds of a pause, jobs of that "
      + "type or queue stop starting. A running job stops when it next saves a checkpoint with a cursor, or runs to "
      + "its end. After a resume, all of them continue."),
    body,
    !name && h("form", { class: "inline", "data-submit": "name" },
      h("label", { for: "queue-name" }, "Find a queue"),
      h("input", { id: "queue-name", name: "queue", required: true, maxlength: 128, autocomplete: "off" }),
      h("button", { class: "plain", type: "submit" }, "Show")));
  live.start();
  return {
    follow: () => live.now(),
    stop: () => live.stop(),
    does: {
      again: () => live.now(),
      switch: async (button) => {
        const { kind, name: what } = button.dataset;
        const pause = button.getAttribute("aria-checked") !== "true";
        button.disabled = true;
        try {
          await call(pause ? "PUT" : "DELETE", `paused/${kind}/${encodeURIComponent(what)}`);
          say(pause ? `${what} is paused` : `${what} is resumed`);
        } finally {
          button.disabled = false;
          await live.now();
        }
      },
      limit: async (form) => {
        await call("PUT", own, { body: limitsIn(form) });
        say("Limits changed");
        await live.now();
      },
      reset: async () => {
        const words = "The queue returns to the limits declared in code, or to none. Running jobs continue.";
        if (!(await ask(`Reset the limits of ${name}?`, words, "Reset limits"))) return;
        await call("DELETE", own);
        say("Limits reset");
        await live.now();
      },
      name: (form) => {
        location.hash = toQueue(form.elements.queue.value.trim());
      },
    },
  };
}

/** The address of a queue's page. */
export const toQueue = (name, filters = {}) => to(`queues/${encodeURIComponent(name)}`, filters);

function section(name, content, page = {}) {
  const id = name.toLowerCase().replaceAll(" ", "-");
  const next = page.keys_cursor === undefined
    ? page.cursor && h("a", { href: to("queues", { cursor: page.cursor }) }, "More queues")
    : page.keys_cursor && h("a", { href: toQueue(page.name, { cursor: page.keys_cursor }) }, "More keys");
  return h("section", { "aria-labelledby": id, "data-key": id }, h("h2", { id }, name), content,
    next && h("nav", { class: "pages", "aria-label": "More" }, next));
}

function table(first, rows) {
  return h("table", { class: "queues", role: "table" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
      [first, "In use", "Waiting", "Oldest wait", "Limits", "Paused"].map((each) =>
        h("th", { role: "columnheader", scope: "col" }, each)))),
    h("tbody", { role: "rowgroup" }, rows));
}

const cell = (name, ...children) => h("td", { role: "cell", class: name }, ...children);

function row(key, kind, ...cells) {
  return h("tr", { role: "row", class: kind, "data-key": key }, cells);
}

/** The rows of a queue: one for the whole queue, and one for each other key. */
function queueRows(queue, alone) {
  const whole = queue.keys.find((key) => key.key === "*");
  const { name, limits, paused } = queue;
  return [
    row(name, null,
      cell("what", h("a", { class: "named", href: toQueue(name) }, name)), uses(whole, limits, paused),
      cell("limits", limits ? limits.words : h("span", { class: "quiet" }, "no limits"),
        queue.changed_at && h("span", { class: "words" },
        "changed ", age(queue.changed_at), queue.changed_by && ` by ${queue.changed_by}`)),
      cell("do", switchFor("queue", name, paused))),
    queue.keys.filter((key) => key !== whole).map((key) => row(`${name}#${key.key}`, "key",
      cell("what", key.key), uses(key, limits), cell("limits"), cell("do"))),
    !alone && queue.keys_cursor && row(`${name}#`, "key",
      cell("what", h("a", { href: toQueue(name) }, "More keys")), uses(), cell("limits"), cell("do")),
  ];
}

function jobTypeRows(types, paused) {
  const names = [...types, ...paused].map((each) => each.name);
  return [...new Set(names)].sort().map((name) => {
    const entry = paused.find((each) => each.name === name);
    return row(name, null, cell("what", h("span", { class: "named" }, name)), uses(undefined, null, entry),
      cell("limits"), cell("do", switchFor("job_type", name, entry)));
  });
}

/** The cells with a key's slots in use and waiting jobs, and the number of jobs that a pause holds. */
function uses(key, limits = null, paused = null) {
  const { holders = [], next_start_at: next } = key ?? {};
  const used = limits?.slots ? `${holders.length} of ${limits.slots}` : holders.length || "";
  return [
    cell("use", holders.length
      ? h("details", {}, h("summary", {}, used), h("ul", {}, holders.map((holder) => h("li", {},
        h("a", { href: `#/job/${holder.job_id}` }, h("code", {}, holder.job_id.slice(0, 8))), " ",
        age(holder.since)))))
      : key && used),
    cell("waits", key && counted(key),
      paused && paused.waiting !== null && h("span", { class: "words" }, counted(paused), " paused")),
    cell("when", age(key?.oldest_waiting_since ?? paused?.oldest_waiting_since),
      next && h("span", { class: "words" }, "next start ", coming(next))),
  ];
}

function counted({ waiting, more_waiting: more }) {
  return `${more ? "over " : ""}${COUNT.format(waiting)}`;
}

/** The form of a queue's limits, with those of the code as placeholders. It is redrawn when they change. */
function limitsForm({ limits, declared_limits: declared, changed_at: changed }) {
  const [now, code] = [limits, declared].map((each) => ({ max_waiting: DEFAULT_MAX_WAITING, ...each?.rate, ...each }));
  const field = (name, label) => h("div", { class: "field" },
    h("label", { for: name }, label),
    h("input", {
      id: name, name, type: "number", min: 0.001, step: "any", placeholder: code[name] ?? "none",
      value: now[name] === code[name] ? null : now[name],
    }));
  return h("form", { class: "dispatch", "data-submit": "limit", "data-key": `limits ${changed}` },
    h("p", { class: "quiet" }, "Leave a field empty to use the code's value. Each key has these limits. A change "
      + "takes up to 10 seconds. Running jobs continue."),
    h("div", { class: "two" },
      field("slots", "Slots: jobs that run at once"), field("max_waiting", "Jobs that may wait"),
      field("count", "Rate: starts"), field("seconds", "Rate: seconds"),
      field("burst", "Rate: starts at once")),
    h("div", { class: "buttons" },
      h("button", { class: "button", type: "submit" }, "Change limits"),
      changed && h("button", { class: "plain", type: "button", "data-do": "reset" }, "Reset limits")));
}

/** The limits in the form, as the API expects them. In a rate, empty parts get the code's values. */
function limitsIn({ elements }) {
  const given = (name) => Number(elements[name].value) || undefined;
  const parts = ["count", "seconds", "burst"];
  const rate = parts.map((name) => [name, given(name) ?? (Number(elements[name].placeholder) || undefined)]);
  return {
    slots: given("slots"), max_waiting: given("max_waiting"),
    rate: parts.some(given) ? Object.fromEntries(rate) : undefined,
  };
}

function switchFor(kind, name, paused) {
  return h("span", { class: "paused" },
    h("span", {}, paused ? ["paused ", age(paused.paused_at)] : "not paused"),
    h("button", {
      class: "switch", type: "button", role: "switch", "aria-checked": paused ? "true" : "false",
      "aria-label": `Pause ${name}`, "data-do": "switch", "data-kind": kind, "data-name": name,
    }));
}
