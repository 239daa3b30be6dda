// Starts the page: shows the view that the address names, and passes events to that view.

import { hasToken, useToken } from "./api.js";
import { fill, h } from "./dom.js";
import { failedGroupsView } from "./failed_groups_view.js";
import { failedTasksView } from "./failed_tasks_view.js";
import { refreshAges } from "./format.js";
import { jobView } from "./job_view.js";
import { jobsView } from "./jobs_view.js";
import { newView } from "./new_view.js";
import { queuesView } from "./queues_view.js";
import { retryView } from "./retry_view.js";
import { here } from "./route.js";
import { say } from "./say.js";
import { schedulesView } from "./schedules_view.js";

const VIEWS = {
  jobs: jobsView, failed, job: jobView, new: newView, retry: retryView,
  queues: queuesView, paused: queuesView,
  schedules: (root, route) => (route.rest[0] === "new" ? newView : schedulesView)(root, route),
};

const main = document.getElementById("main");
let view = null;
let shown = null; // the page and path of the view

function show() {
  const route = here();
  const address = [route.page, ...route.rest].join("/");
  if (address === shown) {
    view.follow?.(route);
    return;
  }
  view?.stop?.();
  const first = shown === null;
  shown = address;
  main.replaceChildren();
  view = (VIEWS[route.page] ?? nothingHere)(main, route);
  mark(route.page);
  if (!first) main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function failed(root, route) {
  const [kind] = route.rest;
  if (kind === undefined) return jobsView(root, route);
  return ({ groups: failedGroupsView, tasks: failedTasksView }[kind] ?? nothingHere)(root, route);
}

function nothingHere(root) {
  document.title = "Page not found · Job Runners";
  fill(root, h("h1", {}, "Page not found"), h("p", { class: "quiet" }, h("a", { href: "#/" }, "All jobs")));
  return {};
}

function mark(page) {
  for (const link of document.querySelectorAll("[data-page]")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

// After a 401, the form for a token replaces the view until a token is entered.
function askForToken() {
  view?.stop?.();
  view = {};
  const again = hasToken();
  fill(main,
    h("form", { class: "token", "data-submit": "token", "data-key": "token" },
      h("h1", {}, "Enter a token"),
      h("p", {}, again
        ? "The API refused the token. It may have expired."
        : "This stack needs a token for your organization."),
      h("label", { for: "token" }, "Token"),
      h("textarea", {
        id: "token", name: "token", rows: 4, required: true, autocomplete: "off",
        spellcheck: "false",
      }),
      h("p", { class: "quiet" }, "The page keeps the token in memory until you close or reload it."),
      h("button", { class: "button", type: "submit" }, "Continue")));
  document.getElementById("token").focus();
}

// Actions of the page itself. They take precedence over those of the view.
const OWN = {
  skip: () => main.focus(),
  token: (form) => {
    useToken(form.elements.token.value);
    shown = null;
    show();
  },
};

function passOn(name, element, event) {
  const does = OWN[name] ?? view?.does?.[name];
  if (does) Promise.resolve(does(element, event)).catch(wentWrong);
}

function wentWrong(error) {
  if (error.status === 401) askForToken();
  else if (error.status === undefined) throw error; // a defect of this page
  else say(`${error.title}: ${error.message}`, true);
}

document.addEventListener("click", (event) => {
  const element = event.target.closest("[data-do]");
  if (element) passOn(element.dataset.do, element, event);
});
document.addEventListener("change", (event) => {
  const element = event.target.closest("[data-change]");
  if (element) passOn(element.dataset.change, element, event);
});
document.addEventListener("submit", (event) => {
  event.preventDefault();
  passOn(event.target.dataset.submit, event.target, event);
});
document.addEventListener("token-wanted", askForToken);
window.addEventListener("hashchange", show);
setInterval(() => document.hidden || refreshAges(), 1000);

document.getElementById("zone").textContent = `Times are in ${new Intl.DateTimeFormat().resolvedOptions().timeZone}.`;
show();
