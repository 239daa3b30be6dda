// A job's timeline: its waits and runs as parts of one bar, and the same as text.
//
// A row has the times of its creation, of the start of its attempt and its latest invocation, and of its end. Earlier
// attempts are only in the log, so the bar shows them as one part.

import { h } from "./dom.js";
import { age, count, duration, FINISHED } from "./format.js";

const WIDTH = 1000;
const HEIGHT = 28;
const NARROWEST = 14; // the width of parts that would be too narrow to see

export function timeline(job) {
  const parts = life(job).filter((part) => part.to > part.from || part.always);
  const widths = shares(parts);
  let x = 0;
  const drawn = parts.map((part, index) => {
    const rect = h("svg:rect", {
      class: `part ${part.kind}`, x, y: 0, width: Math.max(1, widths[index] - 2), height: HEIGHT, rx: 3,
    }, h("svg:title", {}, `${part.words}, ${duration(part.to - part.from)}`));
    const mark = part.mark && part.mark > part.from && h("svg:rect", {
      class: "mark", y: 0, width: 2, height: HEIGHT,
      x: x + (widths[index] * (part.mark - part.from)) / Math.max(1, part.to - part.from),
    });
    x += widths[index];
    return [rect, mark];
  });
  return h("div", { class: "timeline" },
    h("svg:svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
      "aria-label": parts.map((part) => `${part.words}: ${duration(part.to - part.from)}`).join("; "),
    }, drawn),
    h("ol", {},
      parts.map((part) => h("li", { class: part.kind },
        h("span", {}, part.words), " ", h("b", {}, duration(part.to - part.from)),
        part.going && " so far", " ",
        h("span", { class: "quiet" }, "from ", age(new Date(part.from).toISOString())))),
      job.finished_at && h("li", { class: `end ${job.status}` },
        h("span", {}, job.status), " ", h("span", { class: "quiet" }, age(job.finished_at)))));
}

/** The parts of a job's life in order: before its attempt, the attempt, and its current wait. */
function life(job) {
  const time = (name) => (job[name] ? Date.parse(job[name]) : null);
  const waits = currentWait(job, time);
  const until = time("finished_at") ?? waits?.from ?? Date.now();
  const attempt = time("attempt_started_at"); // a sleep moves it, so that the sleep doesn't count
  const started = attempt && waits ? Math.min(attempt, waits.from) : attempt;
  const parts = before(job, time, Math.min(started ?? until, until));
  if (started) parts.push(ran(job, Math.min(started, until), time("started_at"), until));
  if (waits) parts.push({ kind: "wait", going: true, to: Math.max(Date.now(), waits.from), ...waits });
  return parts;
}

/** The current wait of a job that is neither running nor finished, with its start. */
function currentWait(job, time) {
  const queued = time("queued_at") ?? time("created_at");
  switch (job.status) {
    case "scheduled":
      return { from: queued, words: job.waits_for ? "Sleeping" : "Scheduled" };
    case "waiting":
      return { from: time("waiting_since") ?? queued, words: waitsFor(job.waits_for) };
    case "queued":
      return { from: queued, words: job.invocations > 0 ? "Waiting for its next invocation" : "Waiting for a worker" };
    case "retryable": // the row was last written when the attempt failed
      return { from: time("updated_at"), words: "Waiting for its next attempt" };
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

/** The parts from the job's creation to the start of its attempt, or to `end` if no attempt has started. */
function before(job, time, end) {
  const parts = [];
  let at = time("created_at");
  const add = (kind, to, words, always = false) => {
    parts.push({ kind, from: at, to, words, always });
    at = to;
  };
  const next = Math.min(time("run_at") ?? at, end);
  if (job.attempt > 1) {
    const words = `${count(job.attempt - 1, "earlier attempt")}, with the waits between them`;
    add("past", job.status === "retryable" ? end : next, words, true);
  } else {
    // Each invocation, a manual retry and the end of a pause queue the job again. The row has only the last time.
    const queued = time("queued_at") ?? at;
    if (queued - at > 1000 && queued <= end) add("past", queued, "Before it was last queued");
    if (next - at > 1000) add("wait", next, "Scheduled");
  }
  if (end > at) add("wait", end, "Waited for a worker");
  return parts;
}

function ran(job, from, invocation, to) {
  const attempt = job.max_attempts > 1 ? `Attempt ${job.attempt}` : "Ran";
  const invocations = job.invocations > job.attempt ? `, its latest invocation marked (${job.invocations} in all)` : "";
  const over = FINISHED.has(job.status);
  return {
    kind: over ? `run ${job.status}` : "run going", from, to, always: true,
    mark: invocation, going: job.status === "running", words: attempt + invocations,
  };
}

/** Widths that add up to the whole, to scale except for parts that would be too narrow to see. */
function shares(parts) {
  const total = parts.reduce((sum, part) => sum + (part.to - part.from), 0) || 1;
  const wide = parts.map((part) => Math.max(NARROWEST, (WIDTH * (part.to - part.from)) / total));
  const sum = wide.reduce((one, other) => one + other, 0);
  return wide.map((width) => (WIDTH * width) / sum);
}
