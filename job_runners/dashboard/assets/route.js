// Addresses. The view and its filters are in the part after #. So users can share a view, and the
// server never sees the filters.

import { hasToken } from "./api.js";

const DEFAULT_ORGANIZATION = "default"; // of a caller without a token

/** The current address as a page, the rest of its path, and its filters. */
export function here() {
  const [path, search] = location.hash.replace(/^#?\/?/, "").split("?");
  const [page, ...rest] = path.split("/").map(decodeURIComponent);
  return { page: page || "jobs", rest, filters: Object.fromEntries(new URLSearchParams(search)) };
}

/** A link to a page with filters. It keeps the organization. */
export function to(path, filters = {}) {
  const kept = { org: here().filters.org, ...filters };
  const given = Object.entries(kept).filter(([, value]) => value);
  return `#/${path}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

/** The address of a queue's page. */
export const toQueue = (name, filters = {}) => to(`queues/${encodeURIComponent(name)}`, filters);

/** The organization whose jobs are shown. With a token it may be empty, because the token names one. */
export function organization() {
  return here().filters.org ?? (hasToken() ? "" : DEFAULT_ORGANIZATION);
}
