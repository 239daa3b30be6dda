// Retries or cancels many jobs, a few at a time, and shows the progress and the refusals.

import { call } from "./api.js";
import { fill, h } from "./dom.js";
import { count } from "./format.js";
import { ask } from "./say.js";

const AT_ONCE = 3;
const TRIES = 3; // for a call whose error may be temporary

const VERBS = {
  retry: {
    title: (jobs) => `Retry ${jobs}?`, yes: "Retry", done: "retried", label: "Retried",
    words: "Each job continues from its last checkpoint, and repeats the work after it. Side effects there, such as "
      + "emails or payments, may happen twice.",
  },
  cancel: {
    title: (jobs) => `Cancel ${jobs}?`, yes: "Cancel them", done: "canceled or asked to stop", label: "Canceled", danger: true,
    words: "Jobs that run stop at their next checkpoint. Side effects so far remain, and may happen twice if you retry "
      + "a job later. The other jobs don't start.",
  },
};

export class BulkRetry {
  #stopped = false;
  #done;
  #verb = "retry";

  constructor(done) {
    this.#done = done;
    this.running = false;
    this.element = h("section", { class: "bulk", "aria-label": "Retrying", hidden: true });
  }

  /** Retry or cancel these jobs after a question. With `rate`, at most that many jobs per second. */
  async run(jobs, rate = null, verb = "retry") {
    if (this.running || !jobs.length) return;
    const { title, words, yes, danger } = VERBS[verb];
    const which = jobs.length === 1 ? "this job" : `these ${jobs.length} jobs`;
    if (!(await ask(title(which), words, yes, { danger, no: "Not now" }))) return;
    this.#verb = verb;
    this.running = true;
    this.#stopped = false;
    const state = { total: jobs.length, queued: 0, refused: [] };
    const left = [...jobs];
    const began = Date.now();
    const work = async () => {
      while (left.length && !this.#stopped) {
        const number = jobs.length - left.length;
        const job = left.shift();
        if (rate) await passed(began + 1000 * number / rate);
        if (!this.#stopped) await this.#one(job, state);
      }
    };
    this.#show(state);
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    this.running = false;
    this.#show(state);
    await this.#done();
  }

  stop() {
    this.#stopped = true;
  }

  async #one(job, state) {
    try {
      await tried(this.#verb, job);
      state.queued += 1;
    } catch (problem) {
      if (problem.status === undefined) throw problem;
      state.refused.push({ job, words: problem.message });
      if (problem.status === 401 || problem.status === 403) this.stop();
    }
    this.#show(state);
  }

  #show({ total, queued, refused }) {
    const done = queued + refused.length;
    const verb = VERBS[this.#verb];
    const words = `${this.running || done === total ? "" : "Stopped: "}${queued} of ${count(total, "job")} ${verb.done}`;
    this.element.hidden = false;
    fill(this.element,
      h("div", { class: "bar" },
        h("progress", { max: total, value: done, "aria-label": verb.label }),
        h("span", { role: "status" }, words, refused.length ? `, ${refused.length} refused` : ""),
        this.running && h("button", { class: "plain", type: "button", "data-do": "stop-retrying" }, "Stop")),
      refused.length > 0 && h("ul", {}, refused.map(({ job, words: reason }) =>
        h("li", {}, h("a", { href: `#/job/${job.id}` }, job.job_type), ` ${reason}`))));
  }
}

const passed = (time) => new Promise((resolve) => setTimeout(resolve, time - Date.now()));

async function tried(verb, job, tries = TRIES) {
  try {
    await call("POST", `jobs/${encodeURIComponent(job.id)}/${verb}`);
  } catch (problem) {
    if (!problem.passes || tries <= 1) throw problem;
    await new Promise((resolve) => setTimeout(resolve, 1000 * (problem.retryAfter ?? 1)));
    await tried(verb, job, tries - 1);
  }
}
