// The queues: who uses each, how many wait and for how long, what limits it, and the switch that pauses
// it; and the switches of the job types. With a name in the address, one queue with all its keys.

import { call, get } from "./api.js";
import { fill, h } from "./dom.js";
import { knownJobTypes } from "./filters.js";
import { age, coming, COUNT, count } from "./format.js";
import { Live } from "./live.js";
import { here, to } from "./route.js";
import { say } from "./say.js";

const SECONDS = 10;
const ROWS = 100;
const USUAL_BOUND = 10_000; // of those that wait: not worth a word

export function queuesView(root, { rest: [name] }) {
  document.title = `${name ?? "Queues"} · Job Runners`;
  const body = h("div", { "aria-busy": "true" }, h("p", { class: "quiet loading", "data-key": "loading" }, "Loading"));
  const live = new Live(read);

  async function read(signal) {
    const { cursor } = here().filters;
    const path = name ? `queues/${encodeURIComponent(name)}` : "queues";
    const { data } = await get(path, { cursor, limit: ROWS }, signal);
    const queues = name ? [data] : data.queues;
    const shown = [section(name ? "Keys in use" : "Queues", table("Queue", queues.map((each) => queueRows(each, name))), data)];
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
      "Who finds no free slot, or comes too fast, waits in line. Within 10 seconds nothing of a paused type or "
      + "queue starts. What runs stops at its next written checkpoint that has a cursor, or goes on to its end "
      + "if it has none. All of it waits, and goes on once it is resumed."),
    body,
    !name && h("form", { class: "inline", "data-submit": "name" },
      h("label", { for: "queue-name" }, "Another queue"),
      h("input", { id: "queue-name", name: "queue", required: true, maxlength: 128, autocomplete: "off" }),
      h("button", { class: "plain", type: "submit" }, "Show it")));
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
      name: (form) => {
        location.hash = toQueue(form.elements.queue.value.trim());
      },
    },
  };
}

/** The address of a queue's own page. */
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
      [first, "In use", "Waiting", "Since", "Limits", "Paused"].map((each) =>
        h("th", { role: "columnheader", scope: "col" }, each)))),
    h("tbody", { role: "rowgroup" }, rows));
}

const cell = (name, ...children) => h("td", { role: "cell", class: name }, ...children);

function row(key, kind, ...cells) {
  return h("tr", { role: "row", class: kind, "data-key": key }, cells);
}

/** A queue's row, which is also that of its only line; each other key has a row below. */
function queueRows(queue, alone) {
  const whole = queue.keys.find((key) => key.key === "*");
  const { name, limits, paused } = queue;
  return [
    row(name, null,
      cell("what", h("a", { class: "named", href: toQueue(name) }, name)), uses(whole, limits, paused),
      cell("limits", inWords(limits), queue.changed_at && h("span", { class: "words" },
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

/** The cells that say who uses a key and who waits there; beside them those that a pause holds back. */
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
      paused && paused.waiting !== null && h("span", { class: "words" }, counted(paused), " held back")),
    cell("when", age(key?.oldest_waiting_since ?? paused?.oldest_waiting_since),
      next && h("span", { class: "words" }, "next start ", coming(next))),
  ];
}

function counted({ waiting, more_waiting: more }) {
  return `${more ? "over " : ""}${COUNT.format(waiting)}`;
}

function inWords(limits) {
  if (!limits) return h("span", { class: "quiet" }, "no limits");
  const { slots, rate, per, order, max_waiting: most } = limits;
  return [
    slots && count(slots, "slot"),
    rate && `${count(rate.count, "start")} in ${rate.seconds} s`, rate?.burst > 1 && `${rate.burst} at once`,
    per && `for each ${per}`, order === "fair" && "organisations take turns",
    most !== USUAL_BOUND && `at most ${COUNT.format(most)} wait`,
  ].filter(Boolean).join(", ");
}

function switchFor(kind, name, paused) {
  return h("span", { class: "paused" },
    h("span", {}, paused ? ["paused ", age(paused.paused_at)] : "not paused"),
    h("button", {
      class: "switch", type: "button", role: "switch", "aria-checked": paused ? "true" : "false",
      "aria-label": `Pause ${name}`, "data-do": "switch", "data-kind": kind, "data-name": name,
    }));
}
