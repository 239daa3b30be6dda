// The page of all queues shows what runs in each, what waits, since when and why, and switches that pause queues and
// job types. If the address names a queue, the page shows that queue with all its keys in use. A caller that may
// change its limits also gets a form for them.

import { call, get } from "./api.js";
import { fill, h } from "./dom.js";
import { age, COUNT } from "./format.js";
import { Live } from "./live.js";
import { atLeast, heldUnder, ofQueue, ofType, READ, readWorld, since, waitsOf, why } from "./queue_use.js";
import { here, to, toQueue } from "./route.js";
import { ask, say } from "./say.js";

const SECONDS = 10;
const ROWS = 100;
const NAMES = 3; // of a queue's job types
const COLUMNS = ["Queue", "Running", "Not started", "Longest wait", "Last start", "Why they wait", "Limits", "Pause"];

export function queuesView(root, { rest: [name] }) {
  document.title = `${name ?? "Queues"} · Job Runners`;
  const body = h("div", { "aria-busy": "true" }, h("p", { class: "quiet loading", "data-key": "loading" }, "Loading"));
  const live = new Live(read);
  const own = `queues/${encodeURIComponent(name)}`;

  async function read(signal) {
    const { cursor } = here().filters;
    const fetched = async (path, query = {}) => (await get(path, query, signal)).data;
    const [data, world] = await Promise.all([fetched(name ? own : "queues", { cursor, limit: ROWS }), readWorld(fetched)]);
    const { backlog, paused, types } = world;
    const queues = (name ? [data] : data.queues).map((each) => ofQueue(each, world)).sort(longestWaitFirst);
    const shown = [section(name ? "Running and waiting" : "Queues",
      [table(COLUMNS, queues.map((each) => queueRows(each, name))), counted(backlog)], data)];
    if (data.may_limit) shown.push(section("Change limits", limitsForm(data)));
    if (!name) {
      const names = [...types, ...heldUnder(paused, "job_type")].map((each) => each.name);
      const rows = [...new Set(names)].sort().map((each) => typeRow(ofType(each, world, queues)));
      shown.push(section("Job types", table(["Job type", ...COLUMNS.slice(1, -2), COLUMNS.at(-1)], rows)));
    }
    body.removeAttribute("aria-busy");
    fill(body, shown);
    return SECONDS;
  }

  fill(root, h("div", { class: "head" },
      name ? h("a", { class: "back", href: to("queues") }, "All queues") : h("h1", {}, "Queues"), live.element),
    name && h("h1", { class: "id" }, name),
    !name && h("p", { class: "lead" },
      "Within 10 seconds of a pause, jobs of that queue or type stop starting. A running job stops when it next saves "
      + "a checkpoint with a cursor, or runs to its end. After a resume, all of them continue."),
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
        const pause = !("paused" in button.dataset);
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

function section(name, content, page = {}) {
  const id = name.toLowerCase().replaceAll(" ", "-");
  const next = page.keys_cursor === undefined
    ? page.cursor && h("a", { href: to("queues", { cursor: page.cursor }) }, "More queues")
    : page.keys_cursor && h("a", { href: toQueue(page.name, { cursor: page.keys_cursor }) }, "More keys");
  return h("section", { "aria-labelledby": id, "data-key": id }, h("h2", { id, class: name === "Queues" ? "unseen" : null }, name), content,
    next && h("nav", { class: "pages", "aria-label": "More" }, next));
}

function table(columns, rows) {
  return h("table", { class: "queues", role: "table" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
      columns.map((each) => h("th", { role: "columnheader", scope: "col" }, each)))),
    h("tbody", { role: "rowgroup" }, rows));
}

const cell = (name, ...children) => h("td", { role: "cell", class: name }, ...children);

function row(key, kind, ...cells) {
  return h("tr", { role: "row", class: kind, "data-key": key }, cells);
}

function longestWaitFirst(one, other) {
  const [first, second] = [one, other].map((each) => each.since ?? "9");
  return first < second ? -1 : Number(first > second);
}

/** What the numbers of queued jobs, and of running ones in queues without limits, are made from. */
function counted({ more, jobs }) {
  const total = (name) => COUNT.format(jobs.reduce((sum, each) => sum + each[name], 0));
  return h("p", { class: "help", "data-key": "counted" },
    more && `More than ${READ} jobs are queued or run. The page counts those among ${READ} of them `
      + `that wait longest, are newer or run: ${total("waiting")} queued, ${total("running")} running. So these numbers are `
      + "minimums, and 'none seen' means none among these. ",
    "A last start is the latest one among the jobs that the page reads. ",
    h("b", {}, "Queued"), " jobs could run now; if their queue or type is paused, the pause holds each at its next check. ",
    h("b", {}, "Waiting"), " jobs are already held by a limit or a pause. No job is counted as both.");
}

/** The rows of a queue: one for the whole queue, and one for each key or job type. */
function queueRows(queue, alone) {
  const { name, limits, paused, parts } = queue;
  const all = queue.types.map((each) => each.job_type ?? each.name);
  const names = [...all.slice(0, NAMES), ...(all.length > NAMES ? ["…"] : [])].join(", ");
  return [
    row(name, null,
      cell("what", h("a", { class: "named", href: toQueue(name) }, name), !parts.length && h("span", { class: "words" }, names)),
      uses(queue),
      cell("limits", limits ? limits.words : "none", queue.changed_at && h("span", { class: "words" },
        "changed ", age(queue.changed_at), queue.changed_by && ` by ${queue.changed_by}`)),
      cell("do", switchFor("queue", name, paused))),
    parts.map((part) => row(`${name}#${part.name}`, "key",
      cell("what", part.name), uses(part), cell("limits"), cell("do"))),
    !alone && queue.keys_cursor && row(`${name}#`, "key",
      cell("what", h("a", { href: toQueue(name) }, "More keys")), uses(null), cell("limits"), cell("do")),
  ];
}

function typeRow(type) {
  return row(type.name, null, cell("what", h("span", { class: "named" }, type.name)), uses(type, true),
    cell("do", switchFor("job_type", type.name, type.paused)));
}

/** The cells with what runs and waits in a queue, of a type or under a key, since when and why. */
function uses(use, isBrief = false) {
  if (!use) return ["use", "waits", "when", "last", "why"].map((name) => cell(name));
  const { holders = [], running, limits, queued } = use;
  const used = limits?.slots ? `${running} of ${limits.slots}` : atLeast(running, use.moreRunning);
  const waits = waitsOf(use);
  const words = (text) => h("span", { class: "words" }, text);
  return [
    cell("use", holders.length
      ? h("details", {}, h("summary", {}, used), h("ul", {}, holders.map((holder) => h("li", {},
        h("a", { href: `#/job/${holder.job_id}` }, h("code", {}, holder.job_id.slice(0, 8))), " ",
        age(holder.since)))))
      : used),
    cell("waits", waits.length
      ? waits.map((each) => h("span", { class: "part" }, each))
      : use.elsewhere ? words(["see ", h("a", { href: toQueue(use.elsewhere) }, use.elsewhere)])
        : atLeast(0, queued?.more)),
    cell("when", since(use.since, use.more && "at least "),
      use.oldestId && h("a", { class: "words", href: `#/job/${use.oldestId}` }, "oldest job")),
    // An idle queue may have started jobs that the page hasn't read.
    cell("last", !use.since && !running ? null : use.lastStart ? since(use.lastStart, "", age) : words("none found")),
    cell("why", why(use, isBrief)),
  ];
}

/** The form of a queue's limits, with those of the code as placeholders. It is redrawn when they change. */
function limitsForm({ limits, declared_limits: declared, changed_at: changed }) {
  const [now, code] = [limits, declared].map((each) => ({ ...each?.rate, ...each }));
  const none = { max_waiting: "none, or 10,000 with slots or a rate" };
  const field = (name, label) => h("div", { class: "field" },
    h("label", { for: name }, label),
    h("input", {
      id: name, name, type: "number", min: 0.001, step: "any", placeholder: code[name] ?? none[name] ?? "none",
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
  return [h("button", {
    class: "switch", type: "button", role: "switch", "aria-checked": paused ? "true" : "false", "aria-label": `Pause ${name}`,
    "data-do": "switch", "data-kind": kind, "data-name": name, "data-paused": Boolean(paused),
  }), h("span", { class: "words" }, paused ? "paused" : "not paused")];
}
