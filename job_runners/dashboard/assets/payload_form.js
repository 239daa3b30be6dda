// The form of a payload: a field for each field of its schema, or one field of JSON.

import { readJson } from "./api.js";
import { fill, h } from "./dom.js";
import { fieldsOf } from "./schema.js";

/** Edits one payload. `read()` returns the value, or throws a Wrong that names the field. */
export class PayloadForm {
  #schema;
  #value;
  #fields;
  #asJson;

  constructor(schema, value) {
    this.#schema = schema;
    this.#value = value;
    this.#fields = isObject(value) ? fieldsOf(schema) : null;
    this.#asJson = this.#fields === null;
    this.element = h("div", { class: "payload" });
    this.#draw();
  }

  /** Switch between fields and JSON, and keep the values. */
  toggle() {
    this.#value = this.read();
    const fields = isObject(this.#value) ? fieldsOf(this.#schema) : null;
    this.#asJson = !this.#asJson || fields === null;
    this.#fields = fields;
    this.#draw();
  }

  read() {
    if (this.#asJson) return parsed(this.#control("payload").value, "payload");
    return this.#collect(this.#fields, isObject(this.#value) ? this.#value : {});
  }

  /** Show the API's errors at their fields: [{field, why}]. Returns those without a field here. */
  refuse(problems) {
    for (const slot of this.element.querySelectorAll(".wrong")) slot.replaceChildren();
    for (const control of this.element.querySelectorAll("[aria-invalid]")) {
      control.removeAttribute("aria-invalid");
    }
    const rest = problems.filter(({ field, why }) => !this.#refuseOne(field.split("."), why));
    this.element.querySelector("[aria-invalid]")?.focus();
    return rest;
  }

  // The API may name a part of a field: payload.words.3 is an item of the field words.
  #refuseOne(path, why) {
    for (let length = path.length; length > 0; length -= 1) {
      const control = this.#control(path.slice(0, length).join("."));
      if (!control) continue;
      const where = length < path.length ? `${path.slice(length).join(".")}: ` : "";
      control.setAttribute("aria-invalid", "true");
      this.element.querySelector(`#${CSS.escape(control.id)}-wrong`).textContent = where + why;
      return true;
    }
    return false;
  }

  #control(name) {
    return this.element.querySelector(`[name="${CSS.escape(name)}"]`);
  }

  #draw() {
    const toggle = fieldsOf(this.#schema) && h("button", {
      class: "plain", type: "button", "data-do": "toggle",
    }, this.#asJson ? "Edit as fields" : "Edit as JSON");
    this.element.replaceChildren();
    fill(this.element, h("div", { class: "summary" }, h("h2", {}, "Payload"), toggle),
      this.#asJson ? this.#whole() : drawn(this.#fields, this.#value));
  }

  #whole() {
    const text = JSON.stringify(this.#value, null, 2) ?? "";
    return labelled({ name: "payload", path: [], label: "JSON", required: true, help: "" },
      h("textarea", { rows: Math.min(24, 3 + text.split("\n").length), spellcheck: "false", class: "code" }, text));
  }

  #collect(fields, before) {
    const value = { ...before };
    for (const field of fields) {
      const read = this.#readOne(field, before[field.name]);
      if (read === undefined) delete value[field.name];
      else value[field.name] = read;
    }
    return value;
  }

  #readOne(field, before) {
    if (field.kind === "group") {
      const value = this.#collect(field.fields, isObject(before) ? before : {});
      return Object.keys(value).length || field.required ? value : undefined;
    }
    const control = this.#control(nameOf(field));
    if (field.kind === "flag") return control.checked;
    const text = control.value;
    if (text === "") return before === "" || before === null ? before : undefined;
    return fromText(field, text);
  }
}

/** A value with a syntax error. */
export class Wrong extends Error {
  constructor(field, why) {
    super(why);
    this.problems = [{ field, why }];
  }
}

function fromText(field, text) {
  switch (field.kind) {
    case "number": {
      const value = text.trim();
      return /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(value) ? readJson(value) : text;
    }
    case "lines":
      return text.split("\n").map((line) => line.replace(/\r$/, "")).filter((line) => line !== "");
    case "json":
      return parsed(text, nameOf(field));
    case "choice":
      return field.choices.find((choice) => String(choice) === text) ?? text;
    default:
      return text;
  }
}

function parsed(text, name) {
  try {
    return readJson(text);
  } catch (error) {
    throw new Wrong(name, `is not JSON: ${error.message}`);
  }
}

function drawn(fields, value) {
  if (!fields.length) return h("p", { class: "quiet" }, "This job takes no payload.");
  return fields.map((field) => draw(field, isObject(value) ? value[field.name] : undefined));
}

function draw(field, value) {
  const now = value === undefined ? field.standard : value;
  switch (field.kind) {
    case "group":
      return h("fieldset", {}, h("legend", {}, field.label),
        field.help && h("p", { class: "help" }, field.help), drawn(field.fields, now));
    case "flag":
      return labelled(field, h("input", { type: "checkbox", checked: now === true }));
    case "choice":
      return labelled(field, h("select", {},
        !field.required && h("option", { value: "" }, ""),
        field.choices.map((choice) => h("option", { value: choice, selected: choice === now }, choice))));
    case "lines":
      return labelled({ ...field, help: `${field.help} One per line.`.trim() },
        h("textarea", { rows: 4 }, (Array.isArray(now) ? now : []).join("\n")));
    case "json":
      return labelled({ ...field, help: `${field.help} As JSON.`.trim() },
        h("textarea", { rows: 4, class: "code", spellcheck: "false" },
          now === undefined ? "" : JSON.stringify(now, null, 2)));
    case "text":
      return labelled(field, h("textarea", { rows: 4 }, now ?? ""));
    default:
      return labelled(field, h("input", {
        type: "text", value: shown(now), placeholder: field.example ?? null, autocomplete: "off",
        spellcheck: "false", inputmode: field.kind === "number" ? "decimal" : null,
      }));
  }
}

function labelled(field, control) {
  const name = nameOf(field);
  const id = name.replaceAll(".", "-");
  control.id = id;
  control.setAttribute("name", name);
  control.setAttribute("aria-describedby", `${id}-help ${id}-wrong`);
  return h("div", { class: "field", "data-kind": field.kind ?? "json" },
    h("label", { for: id }, field.label, !field.required && h("span", { class: "quiet" }, " optional")),
    control,
    isUpload(field) && h("label", { class: "plain upload" }, "Upload a file",
      h("input", { class: "unseen", type: "file", "data-change": "upload", "data-for": id, "aria-label": `Upload a file for ${field.label}` })),
    h("p", { class: "help", id: `${id}-help` }, field.help),
    h("p", { class: "wrong", id: `${id}-wrong` }));
}

/** Whether a field holds the key of an uploaded file, by its example or its description. */
function isUpload({ kind, example, help }) {
  return kind === "line" && (String(example).startsWith("uploads/") || help.includes("uploads/"));
}

const nameOf = (field) => ["payload", ...field.path].join(".");
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const shown = (value) => (isObject(value) ? value.rawJSON ?? JSON.stringify(value) : value ?? "");
