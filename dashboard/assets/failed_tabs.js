// The two kinds of work that fail, each a page.

import { h } from "./dom.js";
import { to } from "./route.js";

const KINDS = { jobs: ["failed", "Jobs"], tasks: ["failed/tasks", "Tasks"] };

export function failedTabs(shown) {
  return h("nav", { class: "tabs", "aria-label": "What failed" },
    Object.entries(KINDS).map(([kind, [path, name]]) =>
      h("a", { href: to(path), "aria-current": kind === shown ? "page" : null }, name)));
}
