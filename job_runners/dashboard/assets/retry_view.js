// The form that retries a failed or canceled job with an edited payload.

import { retryWith } from "./actions.js";
import { get } from "./api.js";
import { fill, h } from "./dom.js";
import { knownJobTypes } from "./filters.js";
import { attempt, refuse, trouble, upload } from "./new_view.js";
import { PayloadForm } from "./payload_form.js";

export function retryView(root, { rest: [id] }) {
  document.title = "Edit and retry · Job Runners";
  const title = h("h1", {}, "Edit and retry");
  const body = h("div", {}, h("p", { class: "quiet loading" }, "Loading"));
  let job = null;
  let form = null;

  async function draw() {
    try {
      const [types, { data }] = await Promise.all([
        knownJobTypes(), get(`jobs/${encodeURIComponent(id)}`),
      ]);
      job = data;
      const type = types.find((each) => each.name === job.job_type);
      form = new PayloadForm(type?.payload_schema ?? {}, job.payload ?? {});
      title.textContent = `Edit and retry ${job.job_type}`;
      body.replaceChildren(page(job, form));
    } catch (problem) {
      if (problem.status === undefined || problem.status === 401) throw problem;
      fill(body, trouble(problem));
    }
  }

  async function retry(element) {
    try {
      await retryWith(job, form.read());
      location.hash = `#/job/${id}`;
    } catch (problem) {
      if (problem.problems) throw problem;
      refuse(problem, element, form);
    }
  }

  fill(root, h("div", { class: "head" },
    h("a", { class: "back", href: `#/job/${id}` }, "Back to the job")), title, body);
  draw().catch((problem) => {
    if (problem.status === undefined) throw problem;
    document.dispatchEvent(new Event("token-wanted"));
  });
  return {
    does: {
      toggle: () => attempt(() => form.toggle(), form),
      retry: (element) => attempt(() => retry(element), form),
      upload: (input) => upload(input, job.organization_id),
      again: draw,
    },
  };
}

function page(job, form) {
  return h("form", { class: "dispatch", "data-submit": "retry", novalidate: true },
    job.error && h("p", { class: "failure" }, h("b", {}, job.error.kind), ` ${job.error.message}`),
    h("p", { class: "quiet" },
      "With a new payload the job starts over, without its last checkpoint."),
    job.notes?.map((note) => h("p", { class: "note" }, note)),
    form.element,
    h("div", { class: "refused", role: "alert" }),
    h("div", { class: "buttons" },
      h("button", { class: "button", type: "submit" }, "Retry with this payload"),
      h("a", { class: "plain", href: `#/job/${job.id}` }, "Cancel")));
}
