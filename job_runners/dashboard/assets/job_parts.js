// The parts of a job's page: questions that it waits for, earlier attempts, groups, children and log.

import { h } from "./dom.js";
import { age, clockTime, COUNT, count, statusMark } from "./format.js";
import { invocationOf } from "./timeline.js";

const KEPT = 5; // errors of earlier attempts that the row keeps

/** A question that a job waits for: a button for each choice, or else a field for JSON. */
export function questions({ name, text, choices }) {
  const button = (choice) => h("button", {
    class: "plain", type: "button", "data-do": "answer", "data-name": name, "data-value": choice, "data-key": choice,
  }, choice);
  return h("section", { class: "question", "aria-label": `Answer ${name}`, "data-key": `question ${name}` },
    h("h2", {}, `Answer ${name}`),
    text && h("p", { class: "text" }, text),
    choices.length
      ? h("div", { class: "buttons" }, choices.map(button))
      : h("form", { class: "inline", "data-submit": "answerWith", "data-name": name },
        h("input", { name: "value", required: true, autocomplete: "off", "aria-label": `JSON value of ${name}`, placeholder: "JSON value" }),
        h("button", { class: "plain", type: "submit" }, "Answer")));
}

/** The errors of earlier attempts, the latest first. */
export function earlierAttempts(job) {
  const errors = [...(job.earlier_errors ?? [])];
  const full = errors.length === KEPT;
  const newest = errors.at(-1);
  // The page already shows the newest error above, as the error of the last attempt.
  if (newest && job.error && job.status !== "failed" && newest.attempt === job.attempt - 1
    && job.error.message.startsWith(newest.message)) errors.pop();
  if (!errors.length) return null;
  let above = job.attempt;
  const item = (error) => {
    const byHand = error.attempt >= above; // after a manual retry, attempts count from 1 again
    above = error.attempt;
    return [byHand && h("li", { class: "mark" }, "Before the manual retry"), attempt(error)];
  };
  return h("section", { "aria-labelledby": "earlier", "data-key": "earlier" },
    h("h2", { id: "earlier" }, "Earlier attempts"),
    h("ol", { class: "rows" }, errors.reverse().map(item)),
    full && h("p", { class: "help" }, `Only the last ${KEPT} are kept. Earlier ones are in the log.`));
}

function attempt(error) {
  return h("li", {},
    h("span", { class: "quiet" }, `Attempt ${error.attempt}`),
    h("span", { class: "why" }, h("b", {}, error.kind), ` ${error.message}`),
    h("span", { class: "quiet when" }, age(error.at)));
}

const OUTCOMES = ["failed", "canceled", "open", "succeeded", "existing"]; // those that need attention first
const FIRST = 25; // children that are shown at first

/** A group of a job: its progress, and its members by outcome. Those of a batch can be listed and retried. */
export function groupOf(group, isBatch, listed) {
  const words = (outcome) => `${COUNT.format(group[outcome])} ${outcome}`;
  const shown = OUTCOMES.filter((outcome) => group[outcome] > 0);
  const button = (name, text, more) => h("button", {
    class: "plain", type: "button", "data-do": name, "data-key": text, ...more,
  }, text);
  return h("section", { class: "group", "aria-label": `Group ${group.name}`, "data-key": `group ${group.name}` },
    h("h2", {}, `Group ${group.name} `, h("span", { class: "count" },
      `${COUNT.format(group.total - group.open)} of ${COUNT.format(group.total)} ended, ${Math.floor(group.progress)} %`)),
    h("div", {
      class: "outcomes", role: "progressbar", "aria-label": `Progress of group ${group.name}`,
      "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": group.progress,
    }, h("svg:svg", { viewBox: `0 0 ${group.total || 1} 1`, preserveAspectRatio: "none", "aria-hidden": "true" }, parts(group))),
    isBatch
      ? h("div", { class: "buttons" },
        shown.map((outcome) => button("members", words(outcome), { "data-outcome": outcome, "aria-expanded": listed?.outcome === outcome })),
        group.failed > 0 && button("retry-members", "Retry failed members"))
      : h("p", { class: "words" }, shown.map(words).join(", ")),
    group.as_of && h("p", { class: "help" }, "Counted ", age(group.as_of)),
    listed && h("ol", { class: "rows children", "aria-label": `Members: ${listed.outcome}` },
      listed.members.map(({ key, id, status, error, job }) => h("li", { "data-key": key ?? id },
        statusMark(job?.status ?? status), h("span", { class: "why" },
          h("a", { class: "whole", href: `#/job/${id}` }, key ?? id),
          error && h("span", { class: "quiet" }, ` ${error.kind}: ${error.message}`)))),
      listed.cursor && h("li", { class: "help", "data-key": "" }, "Only the first members are listed.")));
}

function parts(group) {
  let x = 0;
  return OUTCOMES.filter((outcome) => outcome !== "open").map((outcome) => {
    const part = h("svg:rect", { class: outcome, x, y: 0, width: group[outcome], height: 1 });
    x += group[outcome];
    return part;
  });
}

/** The jobs that a job has dispatched, from a page of the API. Those that failed come first. */
export function childrenOf(page) {
  if (!page?.children.length) return null;
  const { children, cursor } = page;
  const sorted = [...children.filter(hasFailed), ...children.filter((each) => !hasFailed(each))];
  const rest = sorted.slice(FIRST);
  return h("section", { "aria-labelledby": "children", "data-key": "children" },
    h("h2", { id: "children" }, "Children ", h("span", { class: "count" }, summary(children, cursor))),
    h("ol", { class: "rows children" }, sorted.slice(0, FIRST).map(childRow)),
    rest.length > 0 && h("details", {}, h("summary", {}, `Show the other ${rest.length}`),
      h("ol", { class: "rows children" }, rest.map(childRow))),
    cursor && h("p", { class: "help" }, `These are the first ${children.length} by key.`));
}

function childRow({ key, group, id, job }) {
  const own = key ?? id;
  const name = group ? `${group}/${own}` : own;
  const words = job?.error && job.status !== "succeeded" ? `${job.job_type}, ${job.error.kind}: ${job.error.message}` : job?.job_type;
  return h("li", { "data-key": name },
    job ? statusMark(job.status, job.cancel_requested) : h("span", { class: "quiet" }, "deleted"),
    h("span", { class: "why" },
      job ? h("a", { class: "whole", href: `#/job/${id}` }, name) : name, job && h("span", { class: "quiet" }, ` ${words}`)),
    h("span", { class: "quiet when" }, job && age(job.created_at)));
}

const hasFailed = ({ job }) => job?.status === "failed";

function summary(children, cursor) {
  const failed = children.filter(hasFailed).length;
  return `${cursor ? "the first " : ""}${children.length}${failed ? `, ${failed} failed` : ""}`;
}

/** The log: its lines once the user has asked for them, and the command that prints all. */
export function logs(job, log, life) {
  const command = `job-runners logs ${job.id}`;
  return h("section", { class: "logs", "aria-labelledby": "logs", "data-key": "logs" },
    h("h2", { id: "logs" }, "Logs"),
    h("div", { class: "buttons" },
      h("button", {
        class: "plain", type: "button", "data-do": "logs", "data-key": "read", disabled: log === "reading",
      }, log?.lines ? "Refresh" : "Show lines")),
    log?.problem && h("p", { class: "note", role: "status", "data-key": "problem" }, log.problem),
    log?.lines && [lines(log.lines, life), !log.complete && h("p", { class: "help", "data-key": "more" },
      "Only part of the log is shown. The command below prints all of it.")],
    h("p", { "data-key": "command" }, "Lines of all functions, in a terminal: ", h("code", {}, command), " ",
      h("button", { class: "plain", type: "button", "data-do": "copy", "data-text": command },
        "Copy command")),
    job.request_id && h("p", { class: "quiet" }, "Dispatched by request ", h("code", {}, job.request_id)));
}

function lines(all, life) {
  if (!all.length) {
    return h("p", { class: "quiet", "data-key": "none" },
      "No log lines yet. They appear a few seconds late.");
  }
  let before = null;
  const head = (line) => {
    const words = line.invocation === null ? null : invocationOf(line, life);
    const changed = words !== null && words !== before;
    if (changed) before = words;
    return changed && h("li", { class: "invocation" }, words);
  };
  return h("div", {
    class: "lines", tabindex: 0, role: "group", "aria-label": count(all.length, "log line"), "data-key": "lines",
  }, h("ol", {}, all.map((line) => [head(line), one(line)])));
}

function one({ time, level, message, exception, more }) {
  return h("li", { class: level.toLowerCase() },
    clockTime(time), " ",
    h("b", {}, level), " ", message,
    Object.entries(more).map(([name, value]) => h("span", { class: "quiet" }, ` ${name}=${value}`)),
    exception && h("pre", {}, exception));
}
