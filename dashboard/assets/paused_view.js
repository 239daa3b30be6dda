// What is paused, and the switch for each job type and queue.

import { call, get } from "./api.js";
import { fill, h } from "./dom.js";
import { knownJobTypes } from "./filters.js";
import { moment } from "./format.js";
import { Live } from "./live.js";
import { say } from "./say.js";

const SECONDS = 10;
const KINDS = { job_type: "Job types", queue: "Queues" };

export function pausedView(root) {
  document.title = "Paused · Job Runners";
  const body = h("div", { "aria-busy": "true" }, h("p", { class: "quiet loading", "data-key": "loading" }, "Loading"));
  const live = new Live(read);
  const named = new Set(); // queues that were typed or switched here

  async function read(signal) {
    const types = await knownJobTypes();
    const { data } = await get("paused", {}, signal);
    body.removeAttribute("aria-busy");
    fill(body, Object.keys(KINDS).map((kind) => group(kind, names(kind, types, data.paused, named), data.paused)));
    return SECONDS;
  }

  fill(root, h("div", { class: "head" }, h("h1", {}, "Paused"), live.element),
    h("p", { class: "lead" },
      "Within 10 seconds nothing of a paused type or queue starts. What runs stops at its next written "
      + "checkpoint that has a cursor, or goes on to its end if it has none. All of it waits, and goes on "
      + "once it is resumed."),
    body,
    h("form", { class: "inline", "data-submit": "name" },
      h("label", { for: "queue-name" }, "Another queue"),
      h("input", { id: "queue-name", name: "queue", required: true, maxlength: 128, autocomplete: "off" }),
      h("button", { class: "plain", type: "submit" }, "Show its switch")));
  live.start();
  return {
    stop: () => live.stop(),
    does: {
      again: () => live.now(),
      switch: async (button) => {
        const { kind, name } = button.dataset;
        const pause = button.getAttribute("aria-checked") !== "true";
        if (kind === "queue") named.add(name); // so that it can be paused again
        button.disabled = true;
        try {
          await call(pause ? "PUT" : "DELETE", `paused/${kind}/${encodeURIComponent(name)}`);
          say(pause ? `${name} is paused` : `${name} is resumed`);
        } finally {
          button.disabled = false;
          await live.now();
        }
      },
      name: (form) => {
        named.add(form.elements.queue.value.trim());
        form.reset();
        return live.now();
      },
    },
  };
}

function names(kind, types, paused, named) {
  const known = kind === "queue"
    ? [...types.map((each) => each.queue_name), ...named]
    : types.map((each) => each.name);
  const now = paused.filter((each) => each.kind === kind).map((each) => each.name);
  return [...new Set([...known, ...now])].filter(Boolean).sort();
}

function group(kind, all, paused) {
  return h("section", { "aria-label": KINDS[kind], "data-key": kind },
    h("h2", {}, KINDS[kind]),
    h("ul", { class: "switches" }, all.map((name) => {
      const entry = paused.find((each) => each.kind === kind && each.name === name);
      return h("li", { "data-key": name },
        h("span", { class: "named" }, name),
        h("span", { class: "quiet" }, entry ? ["paused ", moment(entry.paused_at)] : "not paused"),
        h("button", {
          class: "switch", type: "button", role: "switch", "aria-checked": entry ? "true" : "false",
          "aria-label": `Pause ${name}`, "data-do": "switch", "data-kind": kind, "data-name": name,
        }));
    })));
}
