// What runs and waits in a queue, of a job type or under a key, since when and why: one shape for all of them, made
// from the queue itself, the backlog, the pauses and the error groups.

import { h } from "./dom.js";
import { knownJobTypes } from "./filters.js";
import { age, clockOf, coming, COUNT, waited } from "./format.js";
import { organization, to } from "./route.js";

export const READ = COUNT.format(1000); // jobs of the backlog
const PROMPT = 60_000; // milliseconds that a worker may take to start a job
const LONG = 600_000; // milliseconds in a line from which on it's late

/** What explains waits: the backlog of an organization or of all, the pauses, the job types and, for all words, the error groups. */
export async function readWorld(fetched, query = {}, isBrief = false) {
  const [backlog, { paused }, types, failures] = await Promise.all([
    fetched("backlog", query), fetched("paused"), knownJobTypes(), isBrief ? null : failuresOf(fetched, query.organization_id ?? organization())]);
  return { backlog, paused, types, failures };
}

/** The error groups of an organization, or null if the caller may not see them. */
async function failuresOf(fetched, organizationId) {
  try {
    return (await fetched("error-groups", { organization_id: organizationId })).error_groups;
  } catch (problem) {
    if (problem.status === undefined) throw problem;
    return null;
  }
}

export const heldUnder = (paused, kind) => paused.filter((each) => each.kind === kind);

/** A queue. With limits, its parts are its keys; without, they are its job types. A single part has no row. */
export function ofQueue(queue, world) {
  const { backlog, paused, types } = world;
  const declared = types.filter((each) => [each.queue_name, ...(each.queues ?? [])].includes(queue.name));
  const counted = backlog.jobs.filter((each) => each.queue_name === queue.name);
  const only = (name) => declared.some((each) => each.name === name && !each.queues?.some((queue_) => queue_ !== queue.name));
  const names = heldUnder(paused, "job_type").map((each) => each.name).filter(only);
  const found = new Set([...counted.map((each) => each.job_type), ...names]);
  const entry = queue.paused && { ...queue.paused, ...paused.find((each) => each.kind === "queue" && each.name === queue.name) };
  const own = [...found].sort().map((name) => typeIn(name, counted.find((each) => each.job_type === name), only(name), world))
    .map((each) => ({ ...each, causes: each.causes.filter(({ kind }) => !entry || kind !== "worker") }));
  const parts = queue.limits ? [] : own;
  parts.push(...queue.keys.map((key) => ofKey(key, queue)));
  const [alone] = parts.length === 1 && (parts[0].job_type || parts[0].name === "*") ? parts : [];
  const whole = summed(parts);
  if (!queue.limits) whole.moreRunning = backlog.more;
  // A job gets into a line when a worker first meets it. Until then, only the backlog has it.
  const first = earliest(whole.since, ...counted.map((each) => each.oldest_waiting_since));
  const oldest = queue.limits && own.find((each) => each.oldestId && each.since === first);
  return {
    ...queue, ...whole, ...(alone && { ...alone, name: queue.name }), limits: queue.limits,
    types: own.length ? own : declared,
    parts: alone ? [] : parts.filter((each) => each.name !== "*"),
    causes: [...(entry ? [pauseOf(entry, whole.lastStart, whole.queued && whole.since)] : []),
      ...[alone, ...(queue.limits ? own : [])].flatMap((each) => each?.causes ?? [])],
    held: sum([alone?.held, entry && { count: entry.waiting ?? 0, more: entry.more_waiting }]),
    queued: whole.queued ?? sum(own.map((each) => each.queued)) ?? { count: 0, more: backlog.more },
    oldestId: (oldest ?? alone)?.oldestId, more: (oldest ?? whole).more,
    isPaused: Boolean(entry ?? alone?.isPaused),
    lined: queue.keys_cursor ? { ...whole.lined, more: true } : whole.lined,
    since: earliest(first, queuedBefore(entry)),
    lastStart: latest(whole.lastStart, ...own.map((each) => each.lastStart)),
  };
}

/** A job type, in all queues. */
export function ofType(name, world, queues) {
  const { backlog, types } = world;
  const known = types.find((each) => each.name === name);
  const counted = backlog.jobs.filter((each) => each.job_type === name);
  const parts = counted.length ? counted.map((each) => typeIn(name, each, false, world)) : [typeIn(name, null, false, world)];
  const entry = heldUnder(world.paused, "job_type").find((each) => each.name === name);
  const limited = queues.find((each) => each.name === known?.queue_name && each.limits);
  // If its queue has only this type, the queue's numbers are those of the type.
  const shares = types.some((each) => each !== known && [each.queue_name, ...(each.queues ?? [])].includes(limited?.name));
  if (limited && !shares && !known.queues?.some((each) => each !== limited.name)) {
    return { ...limited, name, holders: [], paused: entry };
  }
  const whole = summed(parts);
  return {
    ...whole, name, paused: entry, isPaused: Boolean(entry), elsewhere: limited?.name, causes: parts.flatMap((each) => each.causes).filter(isFirstOfKind),
    held: entry && { count: entry.waiting ?? 0, more: entry.more_waiting },
    queued: limited && !whole.queued.count ? null : whole.queued, since: earliest(whole.since, queuedBefore(entry)),
    oldestId: parts.length === 1 ? parts[0].oldestId : null,
  };
}

const isFirstOfKind = ({ kind }, index, all) => all.findIndex((each) => each.kind === kind) === index;

function typeIn(name, counted, holdsAll, world) {
  const { backlog, paused, types, failures } = world;
  const entry = heldUnder(paused, "job_type").find((each) => each.name === name);
  const { running = 0, waiting = 0, last_started_at: lastStart, oldest_waiting_id: oldestId } = counted ?? {};
  const queuedAt = counted?.oldest_waiting_since;
  const use = {
    name, job_type: name, isPaused: Boolean(entry), running, moreRunning: backlog.more, queued: { count: waiting, more: backlog.more },
    held: entry && holdsAll ? { count: entry.waiting ?? 0, more: entry.more_waiting } : null,
    since: earliest(queuedAt, entry && holdsAll ? queuedBefore(entry) : null), more: backlog.more && waiting > 0, lastStart, oldestId,
  };
  const causes = entry ? [pauseOf(entry, lastStart, queuedAt)] : [];
  if (isOver(queuedAt, PROMPT) && !entry) causes.push({ kind: "worker", ...use, ...evidence(use, queuedAt, types, backlog, failures) });
  return { ...use, causes };
}

/** What else the page has read that explains why no worker starts jobs of this type. */
function evidence({ name, lastStart }, queuedAt, types, backlog, failures) {
  const worker = (type) => types.find((each) => each.name === type)?.worker ?? null;
  const begun = lastStart ?? queuedAt;
  const later = backlog.jobs.filter((each) => each.job_type !== name && each.last_started_at > begun);
  return {
    worker: worker(name),
    startsOthers: later.some((each) => worker(each.job_type) === worker(name)), startsElsewhere: later.length > 0,
    begun, failed: failures?.filter((each) => each.job_type === name && each.last_seen_at > begun),
  };
}

function ofKey({ key, waiting, more_waiting: more, slots_in_use: running, ...use }, { limits }) {
  const causes = [];
  const isLate = isOver(use.oldest_waiting_since, LONG);
  if (use.next_start_at) causes.push({ kind: "rate", at: use.next_start_at, isLate });
  else if (waiting && limits?.slots && running >= limits.slots) {
    causes.push({ kind: "slots", running, longest: earliest(...use.holders.map((each) => each.since)), isLate });
  }
  return {
    name: key, limits, running, lined: { count: waiting, more }, holders: use.holders, since: use.oldest_waiting_since, oldestId: use.oldest_waiting_id,
    lastStart: use.last_started_at, causes,
  };
}

/** A pause as a cause. Jobs that it doesn't hold yet may have been queued before those that it holds. */
function pauseOf(entry, lastStart, queuedAt) {
  return { ...entry, oldest_queued_at: earliest(entry.oldest_queued_at, queuedAt), lastStart };
}

const queuedBefore = (entry) => entry?.oldest_queued_at ?? entry?.oldest_waiting_since;
const earliest = (...times) => times.filter(Boolean).sort()[0];
const latest = (...times) => times.filter(Boolean).sort().at(-1);

function sum(counts) {
  const found = counts.filter(Boolean);
  return found.length ? { count: found.reduce((total, each) => total + each.count, 0), more: found.some((each) => each.more) } : null;
}

function summed(parts) {
  const of = (name) => parts.map((each) => each[name]);
  return {
    running: of("running").reduce((total, each) => total + each, 0), moreRunning: of("moreRunning").some(Boolean),
    queued: sum(of("queued")), lined: sum(of("lined")), since: earliest(...of("since")), more: of("more").some(Boolean),
    lastStart: latest(...of("lastStart")),
  };
}

/** A time span and, below it, the time of day at which it began. */
export function since(iso, before = "", format = waited) {
  return iso && [before, format(iso), h("span", { class: "words" }, format === waited ? "since " : "at ", clockOf(iso))];
}

/** How many jobs wait, by what they wait for. None is counted twice. */
export function waitsOf({ queued, lined, held, isPaused }) {
  const next = isPaused ? `${held?.count ? "more " : ""}queued (held at their next check)` : "queued";
  return [[lined, "waiting in line"], [held, "waiting under the pause"], [queued, next]]
    .filter(([each]) => each?.count).map(([{ count, more }, what]) => [atLeast(count, more), ` ${what}`]);
}

export function atLeast(number, more) {
  if (!number && more) return h("span", { class: "words", title: `None of the ${READ} jobs that were read` }, "none seen");
  return [more ? "at least " : "", h(number ? "b" : "span", {}, COUNT.format(number))];
}

/** Why jobs wait: all causes that the page knows. */
export function why({ causes = [] }, isBrief, resumes = !isBrief) {
  return causes.map((cause) => h("div", { class: "cause" }, [REASONS[cause.kind](cause)].flat().slice(0, isBrief && cause.kind === "worker" ? 1 : 2),
    resumes && cause.kind === "job_type" && [" ", h("button", { class: "plain", type: "button", "data-do": "switch", "data-kind": "job_type",
      "data-name": cause.name, "data-paused": true }, `Resume ${cause.name}`)]));
}

/** The first words of each cause, for a queue whose jobs wait for too long. */
export function whyLate({ causes, parts, since: oldest }) {
  const late = [...causes, ...parts.flatMap((each) => each.causes)].filter(isFirstOfKind)
    .filter(({ kind, isLate }) => isLate ?? (kind === "worker" || isOver(oldest, PROMPT)));
  return late.map((cause) => [[REASONS[cause.kind](cause)].flat()[0], ". "]);
}

const isOver = (iso, milliseconds) => iso && Date.now() - new Date(iso) > milliseconds;

const words = (...children) => h("span", { class: "words" }, children);

const REASONS = {
  queue: (cause) => pauseWords("Paused", cause),
  job_type: (cause) => pauseWords(`${cause.name} paused`, cause),
  rate: ({ at, isLate }) => h(isLate ? "b" : "span", {}, "Rate limit: next start ", coming(at)),
  slots: ({ running, longest, isLate }) => [h(isLate ? "b" : "span", {}, "All slots are busy"), words("The next one starts when ",
    running > 1 ? `one of the ${running} that run ends. The longest has run for ` : "the one that runs ends. It has run for ", waited(longest))],
  worker: noWorker,
};

function pauseWords(what, { paused_at: at, paused_by: by, oldest_queued_at: before, lastStart }) {
  const earlier = new Date(at) - new Date(before ?? at);
  return [h("b", {}, what, " ", age(at), by && ` by ${by}`),
    earlier > PROMPT && words("The oldest had already waited ", span(earlier), " by then: ",
      lastStart > before ? "workers had started fewer jobs than arrived" : "no worker had started it")];
}

function span(milliseconds) {
  return waited(new Date(Date.now() - milliseconds).toISOString()).textContent;
}

/** What keeps workers from jobs that nothing holds. The page rules out what it can. */
function noWorker({ running, lastStart, worker, startsOthers, startsElsewhere, begun, failed }) {
  const which = worker ? ["worker ", h("code", {}, worker)] : "the worker";
  const failing = failed?.length > 0 && [h("b", {}, "Its jobs fail"), ` since ${clockOf(begun)}: `, GROUPS("see their errors"), ". "];
  if (running > 0 || (lastStart && !isOver(lastStart, PROMPT))) {
    return [h("b", {}, "Workers start fewer jobs than arrive"), words(failing, "Check the concurrency of ", which, ".")];
  }
  const others = startsOthers ? "Since then, the same worker has started other jobs. "
    : startsElsewhere ? "Other workers have started jobs since then. " : "No other start since then was found. ";
  return [
    h("b", {}, "No worker starts them", lastStart && [": none for ", waited(lastStart)]),
    words("Ruled out: a pause, a limit", failed?.length === 0 && [`, failures since ${clockOf(begun)} (`, GROUPS("older ones"), ")"], ". ",
      others, failing, "Check the concurrency and code of ", which, ": run ", h("code", {}, "job-runners doctor"), "."),
  ];
}

const GROUPS = (text) => h("a", { href: to("failed/groups") }, text);
