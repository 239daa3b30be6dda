// One job: its status, error, payload, result and actions.

import { answerJob, answerWith, cancelBatch, cancelJob, deleteJob, retryJob, runAgain } from "./actions.js";
import { get } from "./api.js";
import { BulkRetry } from "./bulk_retry.js";
import { fill, h } from "./dom.js";
import { knownJobTypes } from "./filters.js";
import { coming, count, FINISHED, jsonBox, moment, progressBar, statusMark, waited } from "./format.js";
import { childrenOf, earlierAttempts, groupOf, logs, questions } from "./job_parts.js";
import { Live } from "./live.js";
import { ofQueue, readWorld, why } from "./queue_use.js";
import { to, toQueue } from "./route.js";
import { say } from "./say.js";
import { grows, Opened, timeline } from "./timeline.js";

const SECONDS = 2; // if the API sends no Retry-After
const CHILDREN_SECONDS = 10; // between two reads of the children of an unfinished job, and of why it waits
const HELD = new Set(["line", "queue", "job_type"]); // by what a queue or a pause explains
const MOST_CHILDREN = 100;
const MOST_RETRIED = 1000; // members that one click retries
const TIMELINE_SECONDS = 3; // at least, between two reads of the timeline of an unfinished job
const TIMELINE_RECORD_SECONDS = 0.01; // more for each record
const LOG_SECONDS = 3; // between two reads of the log of a running job
const LAST_LINES_SECONDS = 6; // after its end, because lines may arrive late

export function jobView(root, { rest: [id] }) {
  document.title = "Job · Job Runners";
  const body = h("div", {}, h("h1", {}, "Job"), h("p", { class: "quiet loading" }, "Loading"));
  const live = new Live(read);
  const whole = new Set(); // names of the boxes with full text
  let job = null;
  let place = null; // its position in line
  let reasons = null; // why it waits, or its members
  let reasonsAt = 0;
  let children = null;
  let childrenAt = 0;
  let groups = [];
  let listed = null; // the members of a batch with one outcome
  const bulk = new BulkRetry(() => live.now());
  let life = null; // its timeline
  let lifeAt = 0;
  let lifeOf = null; // the job's state then
  const opened = new Opened();
  const growing = setInterval(() => job && !document.hidden && grows(job, life) && showTimeline(), 1000);
  let log = null; // "reading", {lines, complete} or {problem}
  let logAt = 0; // the time of the last read of the log
  let logOf = null; // the job's `updated_at` then
  let follows = false; // whether the page reads the log again by itself
  let refused = false; // whether the API refuses to show the log

  async function read(signal) {
    try {
      const { data, retryAfter } = await get(`jobs/${encodeURIComponent(id)}`, {}, signal);
      job = data;
      place = job.status === "waiting" ? await readPlace(signal) : null;
      job.unique = job.unique_key && await uniqueness(job);
      show();
      await readReasons(signal);
      await readTimeline(signal);
      await readChildren(signal);
      if (job.status === "running") follows = !refused;
      const isLast = logOf === job.updated_at;
      if (follows) await followLog(signal);
      if (!FINISHED.has(job.status)) return retryAfter ?? SECONDS;
      if (isLast) follows = false;
      return follows ? LAST_LINES_SECONDS : null;
    } catch (problem) {
      if (problem.status !== 404) throw problem;
      fill(body, gone(id));
      return null;
    }
  }

  /** The job's position, or null if it can't be read: the page shows the job anyway. */
  async function readPlace(signal) {
    try {
      return (await get(`jobs/${encodeURIComponent(id)}/place`, {}, signal)).data;
    } catch (problem) {
      if (problem.status) return null;
      throw problem;
    }
  }

  /** Why the job waits, as the page of its queue says it, or which pauses may hold the members of a batch. */
  async function readReasons(signal) {
    const isHeld = job.status === "queued" || HELD.has(place?.waits_for?.kind);
    if (!isHeld && (job.job_type !== "batch" || FINISHED.has(job.status))) reasons = null;
    else if (Date.now() - reasonsAt > CHILDREN_SECONDS * 1000) {
      const fetched = async (path, query = {}) => (await get(path, query, signal)).data;
      try {
        reasons = isHeld ? reasonsOf(job, await fetched(`queues/${encodeURIComponent(job.queue_name)}`),
          await readWorld(fetched, { organization_id: job.organization_id }))
          : (await fetched("paused")).paused.filter(({ kind, waiting }) => kind === "job_type" && waiting !== 0);
      } catch (problem) {
        if (problem.status === undefined || problem.status === 401) throw problem;
      }
      reasonsAt = Date.now();
      show();
    }
  }

  async function readTimeline(signal) {
    const state = `${job.status} ${job.updated_at}`;
    const gap = Math.max(TIMELINE_SECONDS, TIMELINE_RECORD_SECONDS * (life?.records.length ?? 0)) * 1000;
    const isOver = FINISHED.has(job.status);
    if (state === lifeOf && job.status !== "running") return;
    if (!isOver && Date.now() - lifeAt < gap) return;
    try {
      life = (await get(`jobs/${encodeURIComponent(id)}/timeline`, {}, signal)).data;
      [lifeAt, lifeOf] = [Date.now(), state];
      showTimeline();
    } catch (problem) {
      if (problem.status !== 404) throw problem; // the next read shows that the job was deleted
    }
  }

  function showTimeline() {
    const section = body.querySelector("[data-timeline]");
    if (section) fill(section, timeline(job, life, opened));
  }

  async function readChildren(signal) {
    const soon = Date.now() - childrenAt < CHILDREN_SECONDS * 1000;
    if (soon && (!FINISHED.has(job.status) || childrenAt === Infinity)) return;
    childrenAt = Date.now();
    const path = `jobs/${encodeURIComponent(id)}/children`;
    try {
      children = (await get(path, { limit: MOST_CHILDREN }, signal)).data;
      if (job.job_type === "batch" || children.cursor || children.children.some(({ group }) => group)) {
        groups = (await get(`jobs/${encodeURIComponent(id)}/groups`, {}, signal)).data.groups;
        if (listed) await readMembers(listed.outcome, signal);
      }
      if (children.children.length || groups.length) show();
    } catch (problem) {
      // 403: the token's role may not read them. 404: the job was deleted, and the next read shows that.
      if (problem.status !== 403 && problem.status !== 404) throw problem;
      if (problem.status === 403) childrenAt = Infinity;
    }
  }

  async function readMembers(outcome, signal) {
    const { data } = await get(membersPath(), { status: outcome, limit: 100 }, signal);
    listed = { outcome, ...data };
  }

  const membersPath = () => `batches/${encodeURIComponent(id)}/members`;

  /** The jobs of the failed members of a batch, at most MOST_RETRIED. */
  async function failedMembers() {
    const jobs = [];
    let cursor = null;
    do {
      const { data } = await get(membersPath(), { status: "failed", limit: 100, cursor });
      jobs.push(...data.members.flatMap(({ job: each }) => each ?? []));
      cursor = data.cursor;
    } while (cursor && jobs.length < MOST_RETRIED);
    return jobs.slice(0, MOST_RETRIED);
  }

  async function followLog(signal) {
    const over = FINISHED.has(job.status);
    if (job.status !== "running" && !over && logOf === job.updated_at) return;
    if (!over && Date.now() - logAt < LOG_SECONDS * 1000) return;
    [logAt, logOf] = [Date.now(), job.updated_at];
    try {
      log = (await get(`jobs/${encodeURIComponent(id)}/logs`, {}, signal)).data;
      show();
    } catch (problem) {
      if (problem.status === undefined || problem.status === 401) throw problem;
      refused = !problem.passes; // such as for a token whose role may not read it
      follows = !refused;
    }
  }

  async function readLogs() {
    log = "reading";
    show();
    try {
      log = (await get(`jobs/${encodeURIComponent(id)}/logs`)).data;
    } catch (problem) {
      if (problem.status === undefined || problem.status === 401) throw problem;
      log = { problem: problem.message };
    }
    show();
  }

  function show() {
    document.title = `${job.job_type}, ${job.status} · Job Runners`;
    const before = body.querySelector(".lines");
    const atEnd = !before || before.scrollHeight - before.scrollTop - before.clientHeight < 30;
    fill(body, page(job, { whole, place, reasons, children, log, groups, listed, bulk, life, opened }));
    const after = body.querySelector(".lines");
    if (follows && atEnd && after) after.scrollTop = after.scrollHeight;
  }

  async function then(done) {
    if (await done) await live.now();
  }

  fill(root, h("div", { class: "head" },
    h("a", { class: "back", href: to("") }, "All jobs"), live.element), body);
  live.start();
  return {
    stop: () => { live.stop(); bulk.stop(); clearInterval(growing); },
    does: {
      again: () => live.now(),
      answer: (button) => then(answerJob(job, button.dataset.name, button.dataset.value)),
      answerWith: (form) => then(answerWith(job, form.dataset.name, form.elements.value.value)),
      cancel: () => then(cancelJob(job)),
      "cancel-all": () => then(cancelBatch(job)),
      retry: () => then(retryJob(job)),
      rerun: async () => {
        const again = await runAgain(job);
        if (again) location.hash = `#/job/${again.id}`;
      },
      logs: readLogs,
      members: async (button) => {
        const { outcome } = button.dataset;
        if (listed?.outcome === outcome) listed = null;
        else await readMembers(outcome);
        show();
      },
      "retry-members": async () => {
        const jobs = await failedMembers();
        if (!jobs.length) say("The batch has no failed members now");
        childrenAt = 0; // the numbers are read again
        await bulk.run(jobs);
      },
      "stop-retrying": () => bulk.stop(),
      delete: async () => {
        if (await deleteJob(job)) location.hash = to("", { org: job.organization_id });
      },
      copy: async (button) => {
        await navigator.clipboard.writeText(button.dataset.text);
        say("Copied");
      },
      open: (button) => {
        const header = button.closest("th") ?? [...body.querySelectorAll(".waterfall th[tabindex]")].at(-1);
        opened.toggle(button, button.getAttribute("aria-expanded") === "true");
        showTimeline();
        if (!button.isConnected) header.focus(); // a keyboard goes on from there
      },
      whole: (button) => {
        whole.add(button.dataset.name);
        show();
      },
    },
  };
}

function gone(id) {
  return [h("h1", {}, "Job not found"),
    h("p", { class: "quiet" },
      "No job has the id ", h("code", {}, id), ", or you can't see it. Finished jobs expire.")];
}

function page(job, { whole, place, reasons, children, log, groups, listed, bulk, life, opened }) {
  const isBatch = job.job_type === "batch"; // its progress is that of its group
  return [
    h("div", { class: "title" },
      h("h1", {}, job.job_type), statusMark(job.status, job.cancel_requested), buttons(job)),
    h("p", { class: "id" }, h("code", {}, job.id), " ",
      h("button", { class: "plain", type: "button", "data-do": "copy", "data-text": job.id },
        "Copy id")),
    job.error && failure(job),
    place?.waits_for && waits(place),
    Array.isArray(reasons) ? pausedMembers(reasons, children) : reasons,
    place?.questions?.map(questions),
    earlierAttempts(job),
    (job.progress > 0 || job.status === "running") && !(isBatch && groups.length) &&
      h("section", { class: "going", "aria-label": "Progress", "data-key": "going" },
        progressBar(job), h("p", { class: "words" }, job.result_message)),
    h("section", { "aria-labelledby": "when", "data-key": "timeline" },
      h("h2", { id: "when" }, "Timeline"), h("div", { "data-timeline": true, "data-key": "table" }, timeline(job, life, opened))),
    facts(job),
    job.notes?.map((note) => h("p", { class: "note" }, note)),
    h("div", { class: "pair", "data-key": "values" },
      value("Payload", job.payload, whole),
      FINISHED.has(job.status) && job.result !== null && value("Result", job.result, whole)),
    groups.map((group) => groupOf(group, isBatch, isBatch ? listed : null)),
    bulk.element,
    childrenOf(children),
    logs(job, log, life),
  ];
}

/** Describes which other jobs a unique job prevents, and until when, from the rule of its type. */
async function uniqueness(job) {
  const types = await knownJobTypes().catch(() => []);
  const rule = types.find((each) => each.name === job.job_type)?.unique;
  if (!rule) return "prevents another job with the same work";
  const same = rule.by.length ? `with the same ${rule.by.join(" and ")}` : "of its type";
  return `prevents another job ${same} until it ${rule.until === "started" ? "starts" : "ends"}`;
}

/** What the page of queues says of why a job waits. */
function reasonsOf(job, queue, world) {
  const whole = ofQueue(queue, world);
  const own = whole.parts.find(({ name }) => name === job.job_type || name === job.concurrency_key) ?? whole;
  if (!own.causes.length) return null;
  return h("div", { class: "waits", "data-key": "reasons" }, job.status === "queued" && h("p", {}, "Queued in ",
    h("a", { href: toQueue(job.queue_name) }, job.queue_name), ", where the oldest job has waited for ", waited(own.since), "."),
  why(own, false, false));
}

/** Which pauses may hold the members of a batch. */
function pausedMembers(paused, children) {
  const types = new Set(children?.children.map((each) => each.job?.job_type));
  const causes = paused.filter((each) => types.has(each.name)).map((each) => ({ ...each, oldest_queued_at: null }));
  return causes.length > 0 && h("div", { class: "waits", "data-key": "reasons" }, h("p", {}, "Members that haven't started wait:"),
    why({ causes }, false, false));
}

/** The reason why a job waits, and the number of jobs ahead of it. */
function waits({ waits_for: { kind, name, key, until, names }, ahead, more_ahead: more, of_organization: own }) {
  if (kind === "job") {
    return h("p", { class: "waits", "data-key": "waits" },
      "Waiting for job ", h("a", { href: `#/job/${name}` }, h("code", {}, name)),
      ", which does the same work.");
  }
  if (kind === "time") {
    return h("p", { class: "waits", "data-key": "waits" }, "Sleeping until ", coming(until), ` (${name}).`);
  }
  if (kind === "signal") {
    return h("p", { class: "waits", "data-key": "waits" },
      `Waiting for signal ${names.join(" or ")}. The wait ends `, coming(until), ".");
  }
  if (kind === "group") {
    return h("p", { class: "waits", "data-key": "waits" }, `Waiting for the jobs of its group ${name}.`);
  }
  const inLine = kind === "line";
  return h("p", { class: "waits", "data-key": "waits" },
    inLine ? "Waiting for capacity in queue " : `Waiting until the ${kind.replace("_", " ")} `,
    h("a", { href: kind === "job_type" ? to("queues") : toQueue(name) }, name),
    inLine ? key && key !== "*" && `, ${key}` : " is resumed", ". ",
    ahead === null ? "" : ahead || more
      ? `Ahead of it: ${more ? "at least " : ""}${count(ahead, "job")}${own ? " of its organization" : ""}.`
      : `Next in line${own ? " of its organization" : ""}.`);
}

function buttons(job) {
  const button = (name, words, kind = "plain") =>
    h("button", { class: kind, type: "button", "data-do": name, "data-key": name }, words);
  if (!FINISHED.has(job.status)) {
    return h("div", { class: "buttons" }, !job.cancel_requested && [
      button("cancel", "Cancel"), job.job_type === "batch" && button("cancel-all", "Cancel with members")]);
  }
  const again = job.status !== "succeeded";
  return h("div", { class: "buttons" },
    again ? button("retry", "Retry", "button") : button("rerun", "Run again"),
    again && job.job_type !== "batch" && h("a", { class: "plain", "data-key": "edit", href: `#/retry/${job.id}` }, "Edit and retry"),
    button("delete", "Delete"));
}

function failure(job) {
  const { kind, message, traceback } = job.error;
  const over = job.status === "failed";
  return h("section", { class: over ? "failure" : "failure past", "aria-label": "Error", "data-key": "error" },
    h("h2", {}, over ? kind : `Last attempt failed: ${kind}`),
    h("p", { class: "message" }, message),
    job.status === "retryable" && h("p", {}, "Next attempt: ", coming(job.run_at)),
    traceback && h("details", {},
      h("summary", {}, "Traceback"),
      h("pre", { tabindex: 0, role: "region", "aria-label": "Traceback" }, traceback)));
}

function toJob(id) {
  return h("a", { href: `#/job/${id}` }, h("code", {}, id.slice(0, 8)));
}

function facts(job) {
  const fact = (name, ...words) =>
    h("div", { "data-key": name }, h("dt", {}, name), h("dd", {}, ...words));
  return h("dl", { class: "facts", "data-key": "facts" },
    fact("Attempt", `${job.attempt} of ${job.max_attempts}`),
    fact("Invocations", job.invocations),
    fact("Queue", job.queue_name),
    job.worker && fact("Worker", job.worker),
    fact("Organization", h("a", { href: to("", { org: job.organization_id }) }, job.organization_id)),
    job.parent_id && fact("Parent", toJob(job.parent_id), job.group ? ` (group ${job.group})` : ""),
    job.follow_up_of && fact("Follow-up of", toJob(job.follow_up_of)),
    ...[["on_end", "On end"], ["on_failure", "On failure"]].map(([kind, name]) =>
      job[kind] && fact(name, job[kind], ...(job.follow_ups ?? [])
        .filter((each) => each.kind === kind).flatMap(({ id }) => [" ", toJob(id)]))),
    job.unique && fact("Unique", job.unique),
    fact("Created", moment(job.created_at)),
    job.created_by && fact("Created by", job.created_by),
    job.requeued_by && fact("Retried by", job.requeued_by),
    job.canceled_by && fact("Canceled by", job.canceled_by),
    job.finished_at && fact("Ended", moment(job.finished_at)),
    job.expires_at && fact("Expires", moment(job.expires_at)));
}

function value(name, content, whole) {
  const files = name === "Result" ? [...downloads(content)] : [];
  return h("section", { "aria-label": name, "data-key": name },
    h("h2", {}, name),
    files.map(({ file, url, rows }) => h("p", { class: "file" },
      h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, file.split("/").at(-1)),
      rows === undefined ? "" : h("span", { class: "quiet" }, ` ${rows} rows`))),
    content === null
      ? h("p", { class: "quiet" }, "None")
      : jsonBox(name, content, whole.has(name)));
}

/** The files in a result to which the API added a URL, if that is http or https. */
function* downloads(content) {
  if (content === null || typeof content !== "object") return;
  if (typeof content.file === "string" && /^https?:\/\//.test(content.url ?? "")) yield content;
  for (const each of Object.values(content)) yield* downloads(each);
}
