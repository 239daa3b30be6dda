// The page of all queues shows what runs in each, what waits, since when and why, and switches that pause queues and
// job types. If the address names a queue, the page shows that queue with all its keys in use. A caller that may
// change its limits also gets a form for them.

import { call, get } from "./api.js";
import { fill, h } from "./dom.js";
import { knownJobTypes } from "./filters.js";
import { age, coming, COUNT, waited } from "./format.js";
import { Live } from "./live.js";
import { here, to } from "./route.js";
import { ask, say } from "./say.js";

const SECONDS = 10;
const ROWS = 100;
const COLUMNS = ["Queue", "Running", "Waiting", "Oldest wait", "Why they wait", "Limits", "Pause"];
const DEFAULT_MAX_WAITING = 10_000; // of a queue that the code doesn't declare

export function queuesView(root, { rest: [name] }) {
  document.title = `${name ?? "Queues"} · Job Runners`;
  const body = h("div", { "aria-busy": "true" }, h("p", { class: "quiet loading", "data-key": "loading" }, "Loading"));
  const live = new Live(read);
  const own = `queues/${encodeURIComponent(name)}`;

  async function read(signal) {
    const { cursor } = here().filters;
    const fetched = async (path, query = {}) => (await get(path, query, signal)).data;
    const [data, backlog, { paused }, types] = await Promise.all([
      fetched(name ? own : "queues", { cursor, limit: ROWS }), fetched("backlog"), fetched("paused"), name ? [] : knownJobTypes(),
    ]);
    const isPaused = (type) => paused.some((each) => each.kind === "job_type" && each.name === type);
    const jobs = backlog.jobs.map((each) => ({ ...each, isPaused: isPaused(each.job_type) }));
    const queues = (name ? [data] : data.queues).map((each) => withUse(each, { ...backlog, jobs })).sort(longestWaitFirst);
    const sampled = backlog.more && h("p", { class: "help", "data-key": "sampled" },
      "More than 1,000 jobs run or wait for a worker. In queues without limits, the page counts 1,000 of them: those "
      + "that wait longest, and some of the newer ones. So these numbers are minimums.");
    const shown = [section(name ? "Running and waiting" : "Queues",
      [table(COLUMNS, queues.map((each) => queueRows(each, name))), sampled], data)];
    if (data.may_limit) shown.push(section("Change limits", limitsForm(data)));
    if (!name) {
      const rows = jobTypeRows(types, paused.filter((each) => each.kind === "job_type"));
      shown.push(section("Job types", table(["Job type", "Waiting", "Oldest wait", "Why they wait", "Pause"], rows)));
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

/** A queue with the sums of its keys. Without limits, its `types` are counted instead, from the backlog. */
function withUse(queue, backlog) {
  const types = queue.limits ? [] : backlog.jobs.filter((each) => each.queue_name === queue.name)
    .map((each) => ({ ...each, holders: [], slots_in_use: each.running, more: backlog.more }));
  const parts = queue.keys.map((key) => ({ ...key, more: key.more_waiting }));
  if (!queue.limits) parts.push(...types);
  const sum = (field) => parts.reduce((total, each) => total + each[field], 0);
  const first = parts.filter((each) => each.oldest_waiting_since).sort(longestWaitFirst)[0];
  const alone = parts.length === 1 ? parts[0] : {}; // otherwise each part says why its jobs wait
  return {
    ...queue, types, slots_in_use: sum("slots_in_use"), waiting: sum("waiting"), holders: alone.holders,
    next_start_at: alone.next_start_at, isPaused: alone.isPaused, oldest_waiting_id: first?.oldest_waiting_id,
    more: Boolean(queue.keys_cursor) || (queue.limits ? parts.some((each) => each.more) : backlog.more),
    oldest_waiting_since: first?.oldest_waiting_since ?? queue.paused?.oldest_waiting_since,
  };
}

function longestWaitFirst(one, other) {
  const [first, second] = [one, other].map((each) => each.oldest_waiting_since ?? "9");
  return first < second ? -1 : Number(first > second);
}

/** The rows of a queue: one for the whole queue, and one for each key or job type. */
function queueRows(queue, alone) {
  const { name, limits, paused, types } = queue;
  const keys = queue.keys.filter(({ key }) => key !== "*");
  const one = types.length === 1 && types[0].job_type;
  return [
    row(name, null,
      cell("what", h("a", { class: "named", href: toQueue(name) }, name), one && h("span", { class: "words" }, one)),
      uses(queue, limits, paused),
      cell("limits", limits ? limits.words : "none", queue.changed_at && h("span", { class: "words" },
        "changed ", age(queue.changed_at), queue.changed_by && ` by ${queue.changed_by}`)),
      cell("do", switchFor("queue", name, paused))),
    keys.map((key) => row(`${name}#${key.key}`, "key",
      cell("what", key.key), uses({ ...key, more: key.more_waiting }, limits), cell("limits"), cell("do"))),
    !one && types.map((type) => row(`${name}#${type.job_type}`, "key",
      cell("what", type.job_type), uses(type), cell("limits"), cell("do"))),
    !alone && queue.keys_cursor && row(`${name}#`, "key",
      cell("what", h("a", { href: toQueue(name) }, "More keys")), uses(null), cell("limits"), cell("do")),
  ];
}

function jobTypeRows(types, paused) {
  const names = [...types, ...paused].map((each) => each.name);
  return [...new Set(names)].sort().map((name) => {
    const entry = paused.find((each) => each.name === name);
    const held = entry && { waiting: 0, oldest_waiting_since: entry.oldest_waiting_since };
    return row(name, null, cell("what", h("span", { class: "named" }, name)), uses(held, null, entry).slice(1),
      cell("do", switchFor("job_type", name, entry)));
  });
}

/** The cells with what runs and waits in a queue or under a key, since when and why. */
function uses(use, limits = null, paused = null) {
  const { holders = [], slots_in_use: running, waiting, more, oldest_waiting_since: since } = use ?? {};
  const used = running !== undefined && (limits?.slots ? `${running} of ${limits.slots}` : atLeast(running, more && !limits));
  return [
    cell("use", holders.length
      ? h("details", {}, h("summary", {}, used), h("ul", {}, holders.map((holder) => h("li", {},
        h("a", { href: `#/job/${holder.job_id}` }, h("code", {}, holder.job_id.slice(0, 8))), " ",
        age(holder.since)))))
      : used),
    cell("waits", use && (waiting > 0 || !paused) && atLeast(waiting, more),
      paused && paused.waiting !== null
        && h("span", { class: "words" }, atLeast(paused.waiting, paused.more_waiting), " held by the pause")),
    cell("when", since && [more && !limits && waiting > 0 ? "at least " : "", waited(since),
      use.oldest_waiting_id && h("a", { class: "words", href: `#/job/${use.oldest_waiting_id}` }, "oldest job")]),
    cell("why", use && why(use, limits, paused)),
  ];
}

const PROMPT = 60_000; // milliseconds that a worker may take to start a job

function why({ slots_in_use: running, waiting, oldest_waiting_since: since, next_start_at: next, holders, isPaused }, limits, paused) {
  if (paused) return h("b", {}, "Paused ", age(paused.paused_at), paused.paused_by && ` by ${paused.paused_by}`);
  if (next) return ["Rate limit: next start ", coming(next)];
  if (!waiting) return null;
  if (isPaused) return h("b", {}, "The job type is paused");
  if (limits) return holders && limits.slots && running >= limits.slots ? "All slots are busy" : null;
  return new Date() - new Date(since) > PROMPT && [h("b", {}, "No worker takes them"),
    h("span", { class: "words" }, "Check the worker's concurrency and errors")];
}

function atLeast(number, more) {
  if (!number && more) return h("span", { class: "quiet" }, "none counted");
  return [more ? "at least " : "", h(number ? "b" : "span", {}, COUNT.format(number))];
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
  return h("button", {
    class: "switch", type: "button", role: "switch", "aria-checked": paused ? "true" : "false",
    "aria-label": `Pause ${name}`, "data-do": "switch", "data-kind": kind, "data-name": name,
  });
}
