// The form that dispatches a job, with the fields of its payload's schema.

import { sayDispatched } from "./actions.js";
import { call } from "./api.js";
import { fill, h } from "./dom.js";
import { knownJobTypes } from "./filters.js";
import { PayloadForm } from "./payload_form.js";
import { here, organization, to } from "./route.js";
import { firstValue } from "./schema.js";

export function newView(root) {
  document.title = "New job · Job Runners";
  const body = h("div", {}, h("p", { class: "quiet loading" }, "Loading"));
  let form = null;
  let sent = { text: null, key: null }; // so that repeating a request doesn't dispatch a second job

  async function draw() {
    let types;
    try {
      types = (await knownJobTypes()).filter(({ internal }) => !internal);
    } catch (problem) {
      fill(body, trouble(problem));
      if (problem.status === 401) throw problem;
      return;
    }
    const chosen = types.find((each) => each.name === here().filters.type) ?? types[0];
    form = new PayloadForm(chosen.payload_schema, firstValue(chosen.payload_schema));
    body.replaceChildren(page(types, chosen, form));
  }

  async function dispatch(element) {
    const { fields, body: request } = read(element, form);
    const text = JSON.stringify(request);
    if (text !== sent.text) sent = { text, key: crypto.randomUUID() };
    try {
      const answer = await call("POST", "jobs", {
        body: request, headers: { "Idempotency-Key": sent.key },
      });
      sayDispatched(answer);
      location.hash = `#/job/${answer.data.id}`;
    } catch (problem) {
      refuse(problem, fields, form);
    }
  }

  fill(root, h("div", { class: "head" }, h("h1", {}, "New job")), body);
  const ready = draw();
  ready.catch(() => document.dispatchEvent(new Event("token-wanted")));
  return {
    follow: draw,
    does: {
      type: (select) => { location.hash = to("new", { ...here().filters, type: select.value }); },
      toggle: () => attempt(() => form.toggle(), form),
      dispatch: (element) => attempt(() => dispatch(element), form),
      again: draw,
    },
  };
}

/** Run an action of a form, and show which fields are wrong. */
export async function attempt(does, form) {
  try {
    await does();
  } catch (error) {
    if (!error.problems) throw error;
    form.refuse(error.problems);
  }
}

/** Show an error of the API at its field, or above the button if it has no field. */
export function refuse(problem, element, form) {
  const errors = problem.fields ?? [];
  const elsewhere = form.refuse(errors);
  const slot = element.querySelector(".refused");
  if (problem.status === undefined || problem.status === 401) throw problem;
  const words = errors.length
    ? elsewhere.map(({ field, why }) => `${field}: ${why}`)
    : [`${problem.title}: ${problem.message}`];
  fill(slot, words.map((each) => h("p", {}, each)));
}

export function trouble(problem) {
  return h("div", { class: "trouble", role: "alert" },
    h("strong", {}, problem.title), " ", problem.message, " ",
    h("button", { class: "plain", type: "button", "data-do": "again" }, "Try now"));
}

function page(types, chosen, form) {
  const text = (name, label, help, more = {}) => h("div", { class: "field" },
    h("label", { for: name }, label, h("span", { class: "quiet" }, " optional")),
    h("input", { id: name, name, autocomplete: "off", spellcheck: "false", ...more }),
    h("p", { class: "help" }, help));
  const others = (chosen.queues ?? []).slice(1).join(", ");
  return h("form", { class: "dispatch", "data-submit": "dispatch", novalidate: true },
    h("div", { class: "field" },
      h("label", { for: "job_type" }, "Job type"),
      h("select", { id: "job_type", name: "job_type", "data-change": "type" },
        types.map(({ name }) => h("option", { value: name, selected: name === chosen.name }, name))),
      h("p", { class: "help" }, chosen.description)),
    form.element,
    text("organization_id", "Organization", "The organization that owns the job.", { value: organization() }),
    h("details", { class: "more" },
      h("summary", {}, "Start time and queue"),
      h("div", { class: "two" },
        text("run_at", "Not before", "Your local time. Leave empty to start now.", { type: "datetime-local" }),
        text("queue_name", "Queue",
          `Leave empty for ${chosen.queue_name}.${others && ` Also allowed: ${others}.`}`))),
    h("div", { class: "refused", role: "alert" }),
    h("button", { class: "button", type: "submit" }, "Dispatch"));
}

function read(element, form) {
  const given = Object.fromEntries(
    ["job_type", "organization_id", "queue_name"]
      .map((name) => [name, element.elements[name].value.trim()])
      .filter(([, value]) => value));
  const when = element.elements.run_at.value;
  if (when) given.run_at = new Date(when).toISOString();
  return { fields: element, body: { ...given, payload: form.read() } };
}
