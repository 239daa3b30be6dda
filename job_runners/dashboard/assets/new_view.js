// The form that dispatches a job, or adds a schedule, with the fields of the payload's schema.

import { sayDispatched } from "./actions.js";
import { call, get } from "./api.js";
import { fill, h } from "./dom.js";
import { knownJobTypes } from "./filters.js";
import { PayloadForm } from "./payload_form.js";
import { here, organization, to } from "./route.js";
import { ask, say } from "./say.js";
import { firstValue } from "./schema.js";

const LARGEST_FILE = 4 * 1024 * 1024; // bytes that the API accepts
const FIELDS = ["job_type", "organization_id", "queue_name", "cron", "timezone"]; // sent as they are, if they aren't empty

export function newView(root, route) {
  const scheduled = route.page === "schedules";
  const title = scheduled ? "New schedule" : "New job";
  document.title = `${title} · Job Runners`;
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
    body.replaceChildren(page(types, chosen, form, scheduled));
  }

  async function schedule(element) {
    const { organization_id: whose, ...request } = read(element, form).body;
    const name = element.elements.name.value.trim();
    const path = `schedules/${encodeURIComponent(name)}`;
    const query = whose ? `?${new URLSearchParams({ organization_id: whose })}` : "";
    try {
      const exists = await get(path + query).then(() => true, (problem) => {
        if (problem.status === 404) return false;
        throw problem;
      });
      if (exists && !(await ask(`Replace ${name}?`, "The organization has a schedule of this name.", "Replace", { danger: true }))) return;
      await call("PUT", path + query, { body: request });
      say("Schedule saved");
      location.hash = to("schedules", { org: whose });
    } catch (problem) {
      refuse(problem, element, form);
    }
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

  fill(root, h("div", { class: "head" }, h("h1", {}, title)), body);
  const ready = draw();
  ready.catch(() => document.dispatchEvent(new Event("token-wanted")));
  return {
    follow: draw,
    does: {
      type: (select) => { location.hash = to(scheduled ? "schedules/new" : "new", { ...here().filters, type: select.value }); },
      toggle: () => attempt(() => form.toggle(), form),
      dispatch: (element) => attempt(() => (scheduled ? schedule : dispatch)(element), form),
      upload: (input) => upload(input, body.querySelector("#organization_id").value.trim()),
      again: draw,
    },
  };
}

/** Store the chosen file in the bucket, and put its key into the field. */
export async function upload(input, whose) {
  const [file] = input.files;
  if (!file) return;
  if (file.size > LARGEST_FILE) {
    say("The file has over 4 MB. Upload it with job-runners upload, and enter its key.", true);
    return;
  }
  const query = whose ? `?${new URLSearchParams({ organization_id: whose })}` : "";
  say(`Uploading ${file.name}`);
  const { data } = await call("PUT", `uploads/${encodeURIComponent(file.name)}${query}`, { file });
  document.getElementById(input.dataset.for).value = data.key;
  say("Uploaded");
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

function page(types, chosen, form, scheduled) {
  const text = (name, label, help, { required, ...more } = {}) => h("div", { class: "field" },
    h("label", { for: name }, label, !required && h("span", { class: "quiet" }, " optional")),
    h("input", { id: name, name, required, autocomplete: "off", spellcheck: "false", ...more }),
    h("p", { class: "help" }, help));
  const others = (chosen.queues ?? []).slice(1).join(", ");
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  return h("form", { class: "dispatch", "data-submit": "dispatch", novalidate: !scheduled },
    scheduled && text("name", "Name", "Up to 128 characters, without # and /.", { required: true, maxlength: 128 }),
    h("div", { class: "field" },
      h("label", { for: "job_type" }, "Job type"),
      h("select", { id: "job_type", name: "job_type", "data-change": "type" },
        types.map(({ name }) => h("option", { value: name, selected: name === chosen.name }, name))),
      h("p", { class: "help" }, chosen.description),
      chosen.worker && h("p", { class: "help" }, `It runs in the worker class ${chosen.worker}.`)),
    scheduled && h("div", { class: "two" },
      text("cron", "Cron times", "Minute, hour, day of the month, month, day of the week. 0 2 * * * is every day at 02:00."),
      text("timezone", "Time zone", "Of the cron times.", { value: timeZone }),
      text("every", "Or every … minutes", "Instead of cron times.", { type: "number", min: 1 })),
    form.element,
    text("organization_id", "Organization", `The organization that owns the ${scheduled ? "schedule" : "job"}.`, { value: organization() }),
    !scheduled && h("details", { class: "more" },
      h("summary", {}, "Start time and queue"),
      h("div", { class: "two" },
        text("run_at", "Not before", "Your local time. Leave empty to start now.", { type: "datetime-local" }),
        text("queue_name", "Queue",
          `Leave empty for ${chosen.queue_name}.${others && ` Also allowed: ${others}.`}`))),
    h("div", { class: "refused", role: "alert" }),
    h("button", { class: "button", type: "submit" }, scheduled ? "Save schedule" : "Dispatch"));
}

function read(element, form) {
  const of = (name) => element.elements[name]?.value.trim();
  const given = Object.fromEntries(FIELDS.map((name) => [name, of(name)]).filter(([, value]) => value));
  if (of("run_at")) given.run_at = new Date(of("run_at")).toISOString();
  if (of("every")) given.every = Math.round(60 * Number(of("every")));
  if (!given.cron) delete given.timezone;
  return { fields: element, body: { ...given, payload: form.read() } };
}
