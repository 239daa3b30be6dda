// Repeats a read, but not while the page is hidden, and not before the time in the API's
// Retry-After. After a failure, it waits longer. It gives up once another try can't help.

import { fill, h } from "./dom.js";

const GIVE_UP_AFTER = 4; // failures in a row

/** A repeated read. `read(signal)` shows its result and returns the seconds until the next read, or null to end. */
export class Live {
  #read;
  #timer = null;
  #abort = null;
  #failures = 0;
  #due = false; // a read became due while the page was hidden

  constructor(read) {
    this.#read = read;
    this.element = h("div", { class: "live" });
  }

  start() {
    document.addEventListener("visibilitychange", this.#seen);
    return this.now();
  }

  stop() {
    document.removeEventListener("visibilitychange", this.#seen);
    this.#cancel();
  }

  /** Read now instead of at the planned time. */
  async now() {
    this.#cancel();
    const abort = (this.#abort = new AbortController());
    try {
      const seconds = await this.#read(abort.signal);
      if (abort.signal.aborted) return;
      this.#failures = 0;
      this.#show(seconds === null ? [] : [h("span", { class: "alive" }, "live")]);
      this.#plan(seconds);
    } catch (problem) {
      if (abort.signal.aborted) return;
      if (problem.status === undefined) throw problem; // a defect of this page
      if (problem.status === 401) document.dispatchEvent(new Event("token-wanted"));
      else this.#failed(problem);
    }
  }

  #failed(problem) {
    this.#failures += 1;
    const hopeful = problem.passes && this.#failures < GIVE_UP_AFTER;
    const seconds = problem.retryAfter ?? 2 ** this.#failures;
    const next = hopeful ? `Retrying in ${seconds} s.` : "Not retrying automatically.";
    this.#show([
      h("div", { class: "trouble", role: "alert" },
        h("strong", {}, problem.title), " ", problem.message, " ", next, " ",
        h("button", { class: "plain", type: "button", "data-do": "again" }, "Try now")),
    ]);
    this.#plan(hopeful ? seconds : null);
  }

  #plan(seconds) {
    if (seconds === null) return;
    this.#timer = setTimeout(() => {
      if (document.hidden) this.#due = true;
      else this.now();
    }, seconds * 1000);
  }

  #cancel() {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#due = false;
  }

  #seen = () => {
    if (!document.hidden && this.#due) this.now();
  };

  #show(children) {
    fill(this.element, children);
  }
}
