// Selects jobs of a list, to retry or cancel several at once.

import { fill, h } from "./dom.js";
import { count, FINISHED } from "./format.js";

const FITS = {
  retry: ({ status }) => status === "failed" || status === "canceled",
  cancel: ({ status, cancel_requested: asked }) => !FINISHED.has(status) && !asked,
};

export class Selection {
  #jobs = []; // those that are listed now
  #ids = new Set();
  #bulk;

  constructor(bulk) {
    this.#bulk = bulk;
    this.element = h("section", { class: "selection", "aria-label": "Selected jobs" });
    this.does = {
      pick: ({ checked, dataset }) => this.#pick([dataset.id], checked),
      "pick-all": ({ checked }) => this.#pick(this.#jobs.map(({ id }) => id), checked),
      "pick-none": () => this.#pick([...this.#ids], false),
      "retry-selected": () => this.#bulk.run(this.#fitting("retry")),
      "cancel-selected": () => this.#bulk.run(this.#fitting("cancel"), null, "cancel"),
      "stop-retrying": () => this.#bulk.stop(),
    };
  }

  /** Take over the listed jobs. Jobs that are no longer listed are no longer selected. */
  show(jobs) {
    this.#jobs = jobs;
    this.#ids = new Set(jobs.map(({ id }) => id).filter((id) => this.#ids.has(id)));
    this.#draw();
  }

  /** The first cell of a row, or of the head without a job. */
  box(job) {
    return h("input", job
      ? { type: "checkbox", "data-change": "pick", "data-id": job.id, "aria-label": `Select ${job.job_type}, ${job.id.slice(0, 8)}` }
      : { type: "checkbox", "data-change": "pick-all", "aria-label": "Select all listed jobs" });
  }

  #pick(ids, checked) {
    for (const id of ids) this.#ids[checked ? "add" : "delete"](id);
    for (const box of document.querySelectorAll("[data-change=pick]")) box.checked = this.#ids.has(box.dataset.id);
    this.#draw();
  }

  #fitting(action) {
    return this.#jobs.filter((job) => this.#ids.has(job.id) && FITS[action](job));
  }

  #draw() {
    const chosen = this.#ids.size;
    const all = document.querySelector("[data-change=pick-all]");
    if (all) [all.checked, all.indeterminate] = [chosen > 0 && chosen === this.#jobs.length, chosen > 0 && chosen < this.#jobs.length];
    this.element.hidden = !chosen;
    const button = (action, words) => {
      const number = this.#fitting(action).length;
      return h("button", { class: "plain", type: "button", "data-do": `${action}-selected`, disabled: !number || this.#bulk.running },
        number ? `${words} ${number}` : words);
    };
    fill(this.element,
      h("span", { role: "status" }, `${count(chosen, "job")} selected`),
      h("span", { class: "buttons" }, button("retry", "Retry"), button("cancel", "Cancel"),
        h("button", { class: "plain", type: "button", "data-do": "pick-none" }, "Clear")));
  }
}
