// Calls the HTTP API, which is beside this page. A token, if the stack wants one, is kept in memory.

let token = null;

/** Use this token for every call from now on; it is gone when the page is. */
export function useToken(given) {
  token = given.trim() || null;
}

export function hasToken() {
  return token !== null;
}

/** What the API, or the way to it, said instead of an answer. */
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

  /** Whether the same call may well succeed a little later. */
  get passes() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** GET a path; `query` leaves out what is empty. */
export function get(path, query = {}, signal = undefined) {
  const given = Object.entries(query).filter(([, value]) => value);
  const search = given.length ? `?${new URLSearchParams(given)}` : "";
  return call("GET", path + search, { signal });
}

/** Make a call: {data, status, retryAfter, uniqueOutcome}; throws a Problem. The last tells, of a dispatch of
 * work that is unique, how it met a job that was there before. */
export async function call(method, path, { body, headers = {}, signal } = {}) {
  const sent = { Accept: "application/json", ...headers };
  if (token) sent.Authorization = `Bearer ${token}`;
  const request = { method, signal, headers: sent, cache: "no-store", credentials: "same-origin" };
  if (body !== undefined) {
    sent["Content-Type"] = "application/json";
    request.body = JSON.stringify(body);
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

/** JSON in which a whole number too large for JavaScript keeps its digits, where the browser can. */
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
      return { title: "No answer", words: "The API can't be reached from here." };
    case 401:
      return { title: "A token is wanted", words: "This stack wants a token, and a valid one." };
    case 403:
      return {
        title: "Not signed",
        words: "This stack takes signed requests only, which a browser can't make by itself. "
          + "Open this page through a signing proxy: make run has one for the local AWS.",
      };
    default:
      return { title: "No answer", words: `The API answered with status ${status} and no reason.` };
  }
}
