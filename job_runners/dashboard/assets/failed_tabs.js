// The tabs of the three pages of failures: groups, jobs and tasks.

import { h } from "./dom.js";
import { to } from "./route.js";

const KINDS = { groups: ["failed/groups", "Groups"], jobs: ["failed", "Jobs"], tasks: ["failed/tasks", "Tasks"] };

export function failedTabs(shown) {
  return h("nav", { class: "tabs", "aria-label": "Kind of work" },
    Object.entries(KINDS).map(([kind, [path, name]]) =>
      h("a", { href: to(path), "aria-current": kind === shown ? "page" : null }, name)));
}
