// Calls the HTTP API at this page's own address. If the stack needs a token, the page keeps it only
// in memory.

const LOCAL = new Set(["127.0.0.1", "localhost"]);
const STOPPED = " The command that served this page (job-runners run or job-runners dashboard) has stopped. "
  + "Start it again, and open the new address that it shows.";

let token = null;

/** Use this token for all later calls. Closing or reloading the page forgets it. */
export function useToken(given) {
  token = given.trim() || null;
}

export function hasToken() {
  return token !== null;
}

/** An error response of the API, or no response at all (status 0). */
export class Problem extends Error {
  constructor(status, body, retryAfter = null) {
    const { title, words } = inWords(status, body);
    super(words);
    this.status = status;
    this.title = title;
    this.fields = body?.errors ?? [];
    this.requestId = body?.request_id ?? null;
    this.retryAfter = retryAfter;
  }

  /** Whether a retry of the call may succeed. */
  get passes() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** GET a path. Empty values of `query` are left out. */
export function get(path, query = {}, signal = undefined) {
  const given = Object.entries(query).filter(([, value]) => value);
  const search = given.length ? `?${new URLSearchParams(given)}` : "";
  return call("GET", path + search, { signal });
}

/** Call the API. Returns {data, status, retryAfter, uniqueOutcome}; throws a Problem. `uniqueOutcome` is set if
 * a dispatch of unique work found an existing job. The request's body is `body` as JSON, or a `file`. */
export async function call(method, path, { body, file, headers = {}, signal } = {}) {
  const sent = { Accept: "application/json", ...headers };
  if (token) sent.Authorization = `Bearer ${token}`;
  const request = { method, signal, headers: sent, cache: "no-store", credentials: "same-origin" };
  if (body !== undefined) {
    sent["Content-Type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  if (file) {
    sent["Content-Type"] = "application/octet-stream";
    request.body = file;
  }
  let response, text;
  try {
    response = await fetch(path, request);
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, null);
  }
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  const data = parse(text);
  if (!response.ok) throw new Problem(response.status, data, retryAfter);
  return { data, status: response.status, retryAfter, uniqueOutcome: response.headers.get("Unique-Outcome") };
}

/** Parse JSON. A whole number that is too large for JavaScript keeps its digits if the browser supports that. */
export function readJson(text) {
  return JSON.parse(text, (_key, value, context) => {
    const exact = typeof value !== "number" || Number.isSafeInteger(value) || !context?.source;
    return exact || !/^-?\d+$/.test(context.source) ? value : JSON.rawJSON(context.source);
  });
}

function parse(text) {
  try {
    return text ? readJson(text) : null;
  } catch {
    return null;
  }
}

function inWords(status, body) {
  if (body?.detail) return { title: body.title ?? "Refused", words: body.detail };
  switch (status) {
    case 0:
      return { title: "No answer", words: `Can't reach the API.${LOCAL.has(location.hostname) ? STOPPED : ""}` };
    case 401:
      return { title: "Token required", words: "Enter a valid token." };
    case 403:
      return {
        title: "Unsigned request",
        words: "This stack accepts only signed requests, which a browser can't make. "
          + "Open the page with job-runners dashboard. The local AWS shows its own address when it starts.",
      };
    default:
      return { title: "No answer", words: `The API answered with status ${status} and gave no reason.` };
  }
}
