// Addresses: what is shown is in the part behind #, so that a view can be shared and the server
// never sees it.

import { hasToken } from "./api.js";

const DEFAULT_ORGANIZATION = "default"; // of a stack that has one

/** The address as a page, the words of its path, and its filters. */
export function here() {
  const [path, search] = location.hash.replace(/^#?\/?/, "").split("?");
  const [page, ...rest] = path.split("/").map(decodeURIComponent);
  return { page: page || "jobs", rest, filters: Object.fromEntries(new URLSearchParams(search)) };
}

/** A link to a page with filters; the organisation goes along. */
export function to(path, filters = {}) {
  const kept = { org: here().filters.org, ...filters };
  const given = Object.entries(kept).filter(([, value]) => value);
  return `#/${path}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

/** Whose jobs are shown. With a token it need not be said: a token speaks for one organisation. */
export function organization() {
  return here().filters.org ?? (hasToken() ? "" : DEFAULT_ORGANIZATION);
}
