// The tabs of the two pages of failures: jobs and tasks.

import { h } from "./dom.js";
import { to } from "./route.js";

const KINDS = { jobs: ["failed", "Jobs"], tasks: ["failed/tasks", "Tasks"] };

export function failedTabs(shown) {
  return h("nav", { class: "tabs", "aria-label": "Kind of work" },
    Object.entries(KINDS).map(([kind, [path, name]]) =>
      h("a", { href: to(path), "aria-current": kind === shown ? "page" : null }, name)));
}
