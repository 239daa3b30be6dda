// What runs and waits in a queue, of a job type or under a key, since when and why: one shape for all of them, made
// from the queue itself, the backlog, the pauses and the error groups.

import { h } from "./dom.js";
import { age, clockOf, coming, COUNT, waited } from "./format.js";
import { organization, to } from "./route.js";

export const READ = COUNT.format(1000); // jobs of the backlog
const PROMPT = 60_000; // milliseconds that a worker may take to start a job

/** The error groups of the organization, or null if the caller may not see them. */
export async function failuresOf(fetched) {
  try {
    return (await fetched("failures", { organization_id: organization() })).failures;
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
  return {
    ...queue, ...whole, ...(alone && { ...alone, name: queue.name }), limits: queue.limits,
    types: own.length ? own : declared,
    parts: alone ? [] : parts.filter((each) => each.name !== "*"),
    causes: [...(entry ? [pauseOf(entry, whole.lastStart, whole.queued && whole.since)] : []), ...(alone ? alone.causes : []),
      ...(queue.limits ? own.flatMap((each) => each.causes.filter(({ kind }) => kind === "job_type")) : [])],
    held: sum([alone?.held, entry && { count: entry.waiting ?? 0, more: entry.more_waiting }]),
    queued: whole.queued ?? (queue.limits ? null : { count: 0, more: backlog.more }),
    lined: queue.keys_cursor ? { ...whole.lined, more: true } : whole.lined,
    since: earliest(whole.since, queuedBefore(entry)),
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
    ...whole, name, paused: entry, elsewhere: limited?.name, causes: parts.flatMap((each) => each.causes).filter(isFirstOfKind),
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
    name, job_type: name, running, moreRunning: backlog.more, queued: { count: waiting, more: backlog.more },
    held: entry && holdsAll ? { count: entry.waiting ?? 0, more: entry.more_waiting } : null,
    since: earliest(queuedAt, entry && holdsAll ? queuedBefore(entry) : null), more: backlog.more && waiting > 0, lastStart, oldestId,
  };
  const late = queuedAt && new Date() - new Date(queuedAt) > PROMPT;
  const causes = entry ? [pauseOf(entry, lastStart, queuedAt)] : [];
  if (late && !entry) causes.push({ kind: "worker", ...use, ...evidence(use, queuedAt, types, backlog, failures) });
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
    failed: failures?.filter((each) => each.job_type === name && each.last_seen_at > begun),
  };
}

function ofKey({ key, waiting, more_waiting: more, slots_in_use: running, ...use }, { limits }) {
  const causes = [];
  if (use.next_start_at) causes.push({ kind: "rate", at: use.next_start_at });
  else if (waiting && limits?.slots && running >= limits.slots) causes.push({ kind: "slots", running });
  return {
    name: key, limits, running, lined: { count: waiting, more }, holders: use.holders, since: use.oldest_waiting_since,
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

/** Why jobs wait: all causes that the page knows. */
export function why({ causes = [] }, isBrief) {
  return causes.map((cause) => h("div", { class: "cause" }, [REASONS[cause.kind](cause)].flat().slice(0, isBrief && cause.kind === "worker" ? 1 : 2)));
}

const words = (...children) => h("span", { class: "words" }, children);

const REASONS = {
  queue: (cause) => pauseWords("Paused", cause),
  job_type: (cause) => pauseWords(`${cause.name} paused`, cause),
  rate: ({ at }) => h("span", {}, "Rate limit: next start ", coming(at)),
  slots: ({ running }) => ["All slots are busy", words("The next one starts when ", running > 1 ? `one of the ${running} ` : "the one ",
    running > 1 ? "that run ends" : "that runs ends")],
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
function noWorker({ running, lastStart, worker, startsOthers, startsElsewhere, failed }) {
  const which = worker ? ["worker ", h("code", {}, worker)] : "the worker";
  if (running > 0 || new Date() - new Date(lastStart) < PROMPT) {
    return [h("b", {}, "Workers start fewer jobs than arrive"), words("Check the concurrency of ", which, ". ", GROUPS())];
  }
  const others = startsOthers ? "Since then, the same worker has started other jobs. "
    : startsElsewhere ? "Other workers have started jobs since then. " : "No other start since then was found. ";
  return [
    h("b", {}, "No worker starts them", lastStart && [": none for ", waited(lastStart)]),
    words("Ruled out: a pause, a limit", failed?.length === 0 && `, failures in organization ${organization()} since then`, ". ",
      others, failed?.length > 0 && [h("b", {}, "Its jobs fail"), " since then. "],
      "Check the concurrency and code of ", which, ": run ", h("code", {}, "job-runners doctor"), ". ", GROUPS()),
  ];
}

const GROUPS = () => h("a", { href: to("failed/groups") }, "See the error groups");
