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

/** The parts of a job's life, one after another. */
function life(job) {
  const time = (name) => (job[name] ? Date.parse(job[name]) : null);
  const created = time("created_at");
  const again = time("queued_at") ?? created;
  const started = time("attempt_started_at");
  const over = FINISHED.has(job.status);
  const end = time("finished_at") ?? Date.now();
  const parts = [];
  if (again - created > 1000) {
    parts.push({ kind: "past", from: created, to: again, words: "Before it was queued again" });
  }
  const next = Math.max(again, time("run_at") ?? 0);
  const tried = job.attempt - 1;
  if (tried > 0) {
    // A retryable row was last written when its attempt failed.
    const failed = job.status === "retryable" ? time("updated_at") : Math.min(next, started ?? end);
    parts.push({
      kind: "past", from: again, to: failed, always: true,
      words: `${count(tried, "earlier attempt")}, with the waits between`,
    });
    if (job.status === "retryable") {
      parts.push(wait(failed, Math.max(failed, next), "Waits for its next attempt", next > Date.now()));
      return parts;
    }
    if ((started ?? end) > failed) parts.push(wait(failed, started ?? end, "Waited for a worker", !started && !over));
  } else {
    const planned = Math.min(next, started ?? end);
    if (next - again > 1000) parts.push(wait(again, planned, "Scheduled", !over && planned === end));
    const from = next - again > 1000 ? planned : again;
    const words = started || over ? "Waited for a worker" : waiting(job);
    parts.push(wait(from, started ?? end, words, !started && !over));
  }
  if (started) parts.push(run(job, started, time("started_at"), end, over));
  return parts;
}

function wait(from, to, words, going) {
  return { kind: "wait", from, to, words, going };
}

function run(job, from, leg, to, over) {
  const attempt = job.max_attempts > 1 ? `Attempt ${job.attempt}` : "Ran";
  const legs = job.legs > job.attempt ? `, its latest leg marked (${job.legs} in all)` : "";
  return {
    kind: over ? `run ${job.status}` : "run going", from, to, always: true,
    mark: leg, going: !over, words: attempt + legs,
  };
}

function waiting(job) {
  return job.status === "waiting" ? "Waits while its type or queue is paused" : "Waits for a worker";
}

/** Widths that add up to the whole: true to scale, but for parts that would be too narrow to see. */
function shares(parts) {
  const total = parts.reduce((sum, part) => sum + (part.to - part.from), 0) || 1;
  const wide = parts.map((part) => Math.max(NARROWEST, (WIDTH * (part.to - part.from)) / total));
  const sum = wide.reduce((one, other) => one + other, 0);
  return wide.map((width) => (WIDTH * width) / sum);
}
