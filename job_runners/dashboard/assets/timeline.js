// A job's timeline as a table: its attempts, their invocations, and what these did and waited for.
// On a phone, CSS lays the table out as a grid. The roles keep it a table for screen readers.
//
// Each attempt has its own axis, on which only the time of its invocations counts. Waits are breaks between these,
// or three days of waiting would hide two seconds of work. The bars show what the columns say, so they are hidden
// from screen readers.

import { h } from "./dom.js";
import { clockTime, COUNT, count, duration, FINISHED } from "./format.js";

const WIDTH = 1000;
const MOST_ROWS = 200;
const FEWEST_FOLDED = 5; // steps in a row with a common prefix
const MOST_OPEN = 60; // rows of a timeline whose attempts are all open at first
const COLUMNS = 5;
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

const OUTCOMES = {
  failed: "failed", continued: "continues in the next invocation", slept: "sleeps", waited: "waits for a signal",
  gathered: "waits for its group", paused: "held by a pause", yielded: "yielded to its line",
  released: "not started, queued again", lost: "worker was killed",
};
const ACTS = { dispatched: "Dispatched", replaced: "Payload replaced", canceled: "Cancel requested", retried: "Retried" };
const WAITS = new Set(["sleep", "signal", "group"]);
const HOLDS = { paused: "Held by a pause", yielded: "In line" }; // after an invocation with this outcome
const SHORTEST_HOLD = 2000; // milliseconds

/** What the user has opened and closed in a timeline. */
export class Opened {
  attempts = new Map();
  folds = new Set();
  all = false;

  /** Open what a button of the timeline names, or close it. */
  toggle({ dataset: { kind, name } }, isOpen) {
    if (kind === "attempt") this.attempts.set(name, !isOpen);
    else if (kind === "fold") this.folds.add(name);
    else this.all = true;
  }
}

/** The table of a timeline, as the API returns it, or of a job without one. */
export function timeline(job, found, opened) {
  const attempts = attemptsOf(job, found?.records ?? []);
  const acts = [...(found?.acts ?? [])];
  const rows = attempts.reduce((sum, each) => sum + each.invocations.length + each.others.length, 0);
  const budget = { left: opened.all ? Infinity : MOST_ROWS, hidden: 0 };
  const bodies = attempts.map((attempt, index) => {
    const isLast = index === attempts.length - 1;
    const before = acts.splice(0, leading(acts, (act) => isLast ? act.what !== "canceled" : act.at <= attempt.from));
    const isOpen = opened.attempts.get(attempt.key) ?? (isLast || rows <= MOST_OPEN);
    return [before.map(actRow), held(job, found.acts, attempt), body(attempt, isOpen, opened, budget)];
  });
  const waits = currentWait(job, found?.records ?? []);
  return [
    h("table", { role: "table", class: "waterfall", "data-key": "waterfall" },
      h("caption", { class: "unseen" }, "What the job did and waited for, in the order of time"),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ["What", "Start", "Duration", "Outcome"].map((name) => h("th", { role: "columnheader", scope: "col" }, name)),
        h("td", { "aria-hidden": "true" }))),
      bodies, acts.map(actRow),
      waits && h("tbody", { role: "rowgroup", "data-key": "wait" }, row({ words: waits.words, start: waits.from, end: null, is: "wait" }))),
    budget.hidden > 0 && h("p", { "data-key": "more" },
      toggle("all", "", `Show all (${COUNT.format(budget.hidden)} more)`)),
    found?.gaps?.length > 0 && h("p", { class: "help", "data-key": "gaps" },
      `Not recorded, because AWS refused a write: ${count(found.gaps.length, "invocation")}.`),
    found?.complete === false && h("p", { class: "help", "data-key": "incomplete" },
      "The job has more records than are shown."),
  ];
}

/** How many of the first items of a list have a property. */
function leading(list, has) {
  const index = list.findIndex((each) => !has(each));
  return index < 0 ? list.length : index;
}

/** The attempts of a job in order, each with its invocations and with the records that began in it. */
function attemptsOf(job, records) {
  const attempts = [];
  const byClaim = new Map();
  for (const record of records) {
    if (record.kind !== "invocation") continue;
    const key = `${record.run}.${record.attempt}`;
    if (attempts.at(-1)?.key !== key) attempts.push({ key, number: record.attempt, run: record.run, invocations: [], others: [] });
    attempts.at(-1).invocations.push(record);
    byClaim.set(record.claim, attempts.at(-1));
  }
  for (const attempt of attempts) {
    attempt.from = attempt.invocations[0].began_at;
    attempt.last = attempt.invocations.at(-1);
    attempt.axis = axisOf(attempt.invocations);
    attempt.isOver = attempt.last.ended_at && (attempt !== attempts.at(-1) || FINISHED.has(job.status));
  }
  const others = records.filter(({ kind }) => kind !== "invocation");
  if (others.length && !attempts.length) {
    attempts.push({ key: "none", number: null, run: 1, invocations: [], others: [], from: others[0].began_at, axis: axisOf([]) });
  }
  for (const record of others) {
    const own = byClaim.get(record.claim) ?? attempts.findLast(({ from }) => from <= record.began_at) ?? attempts[0];
    own.others.push(record);
  }
  return attempts;
}

/** The axis of an attempt: the times of its invocations, one after the other. */
function axisOf(invocations) {
  let length = 0;
  const parts = invocations.map(({ began_at, ended_at }) => {
    const from = Date.parse(began_at);
    const part = { from, to: Math.max(from, ended_at ? Date.parse(ended_at) : Date.now()), x: length };
    length += part.to - part.from;
    return part;
  });
  const at = (time) => {
    const part = parts.findLast((each) => each.from <= time) ?? parts[0];
    return part ? part.x + Math.min(Math.max(time, part.from), part.to) - part.from : 0;
  };
  return { at, length: Math.max(1, length) };
}

/** The time before a run's first invocation in which no worker could have begun it. */
function held(job, acts, { key, number, invocations: [first] }) {
  const from = number === 1 && acts.findLast(({ what, at }) => (what === "dispatched" || what === "retried") && at <= first.ready_at)?.at;
  if (!from || !isHold(from, first.ready_at)) return null;
  const words = first.ready_at === job.run_at ? "Scheduled" : job.concurrency_key ? "In line or held by a pause" : "Held by a pause or another job";
  return h("tbody", { role: "rowgroup", "data-key": `held ${key}` }, row({ words, start: from, end: first.ready_at, is: "wait" }));
}

const isHold = (from, to) => Date.parse(to) - Date.parse(from) >= SHORTEST_HOLD;

function body(attempt, isOpen, opened, budget) {
  const { key, number, run, last } = attempt;
  const title = number === null ? "Before the first attempt" : titleOf(number, run);
  const ran = attempt.axis.length > 1 ? attempt.axis.length : 0;
  const error = last?.error && `: ${last.error}${last.name ? ` in step ${last.name}` : ""}`;
  const outcome = attempt.isOver || last?.error ? `${OUTCOMES[last.outcome] ?? last.outcome}${error || ""}` : "not over";
  return h("tbody", { role: "rowgroup", "data-key": `attempt ${key}` },
    h("tr", { role: "row", class: "attempt" },
      h("th", { role: "rowheader", scope: "rowgroup" }, toggle("attempt", key, title, isOpen)),
      cell("start", startOf(attempt.from)),
      cell("took", last && [duration(ran), !last.ended_at && " so far"]),
      cell(`outcome ${last?.outcome ?? ""}`, last && outcome),
      h("td", { class: "bars", "aria-hidden": "true" })),
    isOpen && rowsOf(attempt, opened).map((each) => {
      if (budget.left > 0) {
        budget.left -= 1;
        return each();
      }
      budget.hidden += 1;
      return null;
    }));
}

function titleOf(attempt, run) {
  return `Attempt ${attempt}${run > 1 ? `, manual retry ${run - 1}` : ""}`;
}

/** The name of a log line's invocation. A line counts from 1 again after a manual retry, so the timeline's number is better. */
export function invocationOf({ time, attempt, invocation }, found) {
  const own = found?.complete && found.records.findLast((each) =>
    each.kind === "invocation" && each.attempt === attempt && each.began_at <= time);
  return `${titleOf(attempt, own?.run ?? 1)}, invocation ${own?.claim ?? invocation}`;
}

/** Functions that make the rows of an attempt, in the order of time. */
function rowsOf(attempt, opened) {
  const rows = [];
  const own = Map.groupBy(attempt.others, ({ claim }) => claim);
  const known = new Set(attempt.invocations.map(({ claim }) => claim));
  const strangers = attempt.others.filter(({ claim }) => !known.has(claim));
  rows.push(...recordRows(attempt, strangers, opened));
  let last = null;
  for (const invocation of attempt.invocations) {
    const { claim, ready_at, began_at, ended_at, outcome } = invocation;
    const [before, hold] = [last?.ended_at, HOLDS[last?.outcome]];
    if (hold && isHold(before, ready_at)) rows.push(() => row({ words: hold, start: before, end: ready_at, is: "wait" }));
    last = invocation;
    const waited = Date.parse(began_at) - Date.parse(ready_at);
    const words = (OUTCOMES[outcome] ?? outcome ?? "running") + (waited >= 100 ? `, after ${duration(waited)} in queue` : "");
    rows.push(() => row({
      words: `Invocation ${claim}`, start: began_at, end: ended_at, outcome: words, is: `invocation ${outcome ?? "open"}`, axis: attempt.axis,
    }));
    const records = own.get(claim) ?? [];
    rows.push(...recordRows(attempt, records, opened));
    if (!ended_at) rows.push(...stepInProgress(attempt, invocation, records));
  }
  return rows;
}

/** The row of what runs now: no record of a step exists before its end. */
function stepInProgress(attempt, invocation, records) {
  const done = records.filter(({ kind, ended_at }) => kind === "step" && ended_at);
  const last = done.at(-1);
  if (!last) return [];
  const words = last.name === null ? "After the last step" : `After step ${last.name}`;
  return [() => row({ words, start: last.ended_at, end: null, outcome: "running", is: "step open", axis: attempt.axis })];
}

function recordRows(attempt, records, opened) {
  const rows = [];
  for (let index = 0; index < records.length;) {
    const run = foldable(records, index);
    const first = records[index];
    const name = `${attempt.key} ${first.claim} ${first.began_at} ${first.name}`;
    if (run.length >= FEWEST_FOLDED && !opened.folds.has(name)) rows.push(() => foldedRow(attempt, run, name));
    else rows.push(...run.map((record) => () => recordRow(attempt, record)));
    index += run.length;
  }
  return rows;
}

/** The records from an index on that are steps, or children, with a common prefix. */
function foldable(records, index) {
  const { kind, name, outcome } = records[index];
  const prefix = prefixOf(name);
  let end = index + 1;
  while (end < records.length && !WAITS.has(kind) && records[end].kind === kind
    && records[end].outcome === outcome && prefixOf(records[end].name) === prefix) end += 1;
  return records.slice(index, end);
}

/** The text of a name before its first digit or separator. Viewers see no names. */
function prefixOf(name) {
  return name === null ? "" : name.split(/[\s:#/_.-]*\d|[\s:#/]/)[0];
}

function foldedRow(attempt, records, name) {
  const [first] = records;
  const ends = records.map(({ ended_at }) => ended_at);
  const end = ends.includes(null) ? null : ends.reduce((one, other) => (one > other ? one : other));
  const noun = first.kind === "child" ? "child" : "step";
  return row({
    words: [`${noun} ${prefixOf(first.name)} … ×${COUNT.format(records.length)} `, toggle("fold", name, "Show all")],
    start: first.began_at, end, outcome: first.outcome ?? "open", is: `${first.kind} ${first.outcome ?? "open"}`, axis: attempt.axis,
  });
}

function recordRow(attempt, record) {
  const { kind, name, began_at, ended_at, outcome, by, id } = record;
  const words = [`${kind} `, id ? h("a", { href: `#/job/${id}` }, name ?? id.slice(0, 8)) : name];
  const told = [outcome ?? "open", by && ` by ${by}`];
  return row({
    words, start: began_at, end: ended_at, outcome: told, is: `${kind} ${outcome ?? "open"}${WAITS.has(kind) ? " wait" : ""}`,
    axis: WAITS.has(kind) || kind === "child" ? null : attempt.axis,
  });
}

function row({ words, start, end, outcome = "", is, axis = null }) {
  const from = Date.parse(start);
  const to = end ? Date.parse(end) : Date.now();
  return h("tr", { role: "row", class: is },
    h("th", { role: "rowheader", scope: "row", tabindex: -1 }, words),
    cell("start", startOf(start)),
    cell("took", duration(Math.max(0, to - from)), !end && " so far"),
    cell("outcome", outcome),
    h("td", { class: "bars", "aria-hidden": "true" }, axis && bar(axis, from, to)));
}

function bar(axis, from, to) {
  const [x, end] = [axis.at(from), axis.at(to)].map((each) => (WIDTH * each) / axis.length);
  const width = Math.max(4, end - x);
  return h("svg:svg", { viewBox: `0 0 ${WIDTH} 10`, preserveAspectRatio: "none" },
    h("svg:rect", { x: Math.min(x, WIDTH - width), y: 0, width, height: 10, rx: 3 }));
}

function actRow(act, index) {
  return h("tbody", { role: "rowgroup", "data-key": `act ${act.what} ${act.at} ${index}` }, h("tr", { role: "row", class: "act" },
    h("th", { role: "rowheader", scope: "row" }, ACTS[act.what], act.by && ` by ${act.by}`,
      act.rerun_of && [", continues ", h("a", { href: `#/job/${act.rerun_of}` }, act.rerun_of.slice(0, 8))]),
    cell("start", startOf(act.at)), h("td", { role: "cell", colspan: COLUMNS - 2 })));
}

/** The time of day of a start, with the day unless that is today. */
function startOf(iso) {
  const day = DAY.format(new Date(iso));
  return [day !== DAY.format(new Date()) && `${day} `, clockTime(iso)];
}

function cell(is, ...children) {
  return h("td", { role: "cell", class: is }, ...children);
}

function toggle(kind, name, words, isOpen = undefined) {
  return h("button", {
    class: kind === "attempt" ? "toggle" : "plain", type: "button", "data-do": "open", "data-kind": kind, "data-name": name,
    "aria-expanded": isOpen === undefined ? null : String(isOpen),
  }, words);
}

/** The wait of a job that is neither running nor finished, unless one of its records says so. */
function currentWait(job, records) {
  if (records.some(({ kind, ended_at }) => WAITS.has(kind) && !ended_at)) return null;
  const queued = job.queued_at ?? job.created_at;
  switch (job.status) {
    case "scheduled":
      return { from: queued, words: job.waits_for ? "Sleeping" : "Scheduled" };
    case "waiting":
      return { from: job.waiting_since ?? queued, words: waitsFor(job.waits_for) };
    case "queued":
      return { from: queued, words: job.invocations > 0 ? "Waiting for its next invocation" : "Waiting for a worker" };
    case "retryable": // the row was last written when the attempt failed
      return { from: job.updated_at, words: "Waiting for its next attempt" };
    default:
      return null;
  }
}

function waitsFor(what) {
  if (what?.kind === "job") return "Waiting for another job";
  if (what?.kind === "signal") return `Waiting for signal ${what.names.join(" or ")}`;
  if (what?.kind === "group") return `Waiting for its group ${what.name}`;
  if (what?.kind === "line") return `Waiting for capacity in queue ${what.name}`;
  const paused = { job_type: "Type", queue: "Queue" }[what?.kind];
  return `${paused ?? "Type or queue"} is paused`;
}

/** Whether something in a timeline grows while the page is open, and is small enough to be drawn each second. */
export function grows(job, found) {
  return !FINISHED.has(job.status) && (found?.records.length ?? 0) <= MOST_ROWS;
}
