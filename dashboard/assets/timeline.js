// The picture of a job's life: what it waited for and ran, as parts of one bar, and the same in words.
//
// A row keeps when it was created, when its attempt and its latest leg started, and when it ended;
// what happened in earlier attempts is in the log. Nothing here is guessed: it is drawn as one part.

import { h } from "./dom.js";
import { age, count, duration, FINISHED } from "./format.js";

const WIDTH = 1000;
const HEIGHT = 28;
const NARROWEST = 14; // a part too short to see is drawn this wide

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

/** The parts of a job's life, one after another: before its attempt, the attempt, what it waits for. */
function life(job) {
  const time = (name) => (job[name] ? Date.parse(job[name]) : null);
  const waits = standing(job, time);
  const until = time("finished_at") ?? waits?.from ?? Date.now();
  const started = time("attempt_started_at");
  const parts = before(job, time, Math.min(started ?? until, until));
  if (started) parts.push(ran(job, Math.min(started, until), time("started_at"), until));
  if (waits) parts.push({ kind: "wait", going: true, to: Math.max(Date.now(), waits.from), ...waits });
  return parts;
}

/** What a job that is neither running nor finished waits for, and since when. */
function standing(job, time) {
  const queued = time("queued_at") ?? time("created_at");
  switch (job.status) {
    case "scheduled":
      return { from: queued, words: "Scheduled" };
    case "waiting":
      return { from: time("waiting_since") ?? queued, words: waitsFor(job.waits_for) };
    case "queued":
      return { from: queued, words: job.legs > 0 ? "Waits for its next leg" : "Waits for a worker" };
    case "retryable": // last written when its attempt failed
      return { from: time("updated_at"), words: "Waits for its next attempt" };
    default:
      return null;
  }
}

function waitsFor(what) {
  if (what?.kind === "job") return "Waits for the end of another job";
  if (what?.kind === "line") return `Waits for its turn in the queue ${what.name}`;
  const paused = { job_type: "type", queue: "queue" }[what?.kind];
  return `Waits while its ${paused ?? "type or queue"} is paused`;
}

/** From its creation to the start of its attempt, or to whatever came instead. */
function before(job, time, end) {
  const parts = [];
  let at = time("created_at");
  const add = (kind, to, words, always = false) => {
    parts.push({ kind, from: at, to, words, always });
    at = to;
  };
  const next = Math.min(time("run_at") ?? at, end);
  if (job.attempt > 1) {
    const words = `${count(job.attempt - 1, "earlier attempt")}, with the waits between`;
    add("past", job.status === "retryable" ? end : next, words, true);
  } else {
    // Each leg, a retry by hand and the end of a pause queue it anew: the row keeps the last time.
    const queued = time("queued_at") ?? at;
    if (queued - at > 1000 && queued <= end) add("past", queued, "Before it was last queued");
    if (next - at > 1000) add("wait", next, "Scheduled");
  }
  if (end > at) add("wait", end, "Waited for a worker");
  return parts;
}

function ran(job, from, leg, to) {
  const attempt = job.max_attempts > 1 ? `Attempt ${job.attempt}` : "Ran";
  const legs = job.legs > job.attempt ? `, its latest leg marked (${job.legs} in all)` : "";
  const over = FINISHED.has(job.status);
  return {
    kind: over ? `run ${job.status}` : "run going", from, to, always: true,
    mark: leg, going: job.status === "running", words: attempt + legs,
  };
}

/** Widths that add up to the whole: true to scale, but for parts that would be too narrow to see. */
function shares(parts) {
  const total = parts.reduce((sum, part) => sum + (part.to - part.from), 0) || 1;
  const wide = parts.map((part) => Math.max(NARROWEST, (WIDTH * (part.to - part.from)) / total));
  const sum = wide.reduce((one, other) => one + other, 0);
  return wide.map((width) => (WIDTH * width) / sum);
}
