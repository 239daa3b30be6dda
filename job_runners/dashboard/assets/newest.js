// The newest jobs of an organization, read once a minute. The page counts only these jobs, because
// no index has counts, and a counter would cost writes.

import { get } from "./api.js";
import { listQuery } from "./filters.js";
import { here } from "./route.js";

const AT_MOST = 200;
const PAGE = 100; // the most that the API lists at once
const SECONDS = 60;

/** Calls `show({jobs, read, whole})` with the newest jobs that match the filters, the number of jobs that were
 * read, and whether these are all jobs. If the jobs can't be read, it calls `show(null)`. */
export class Newest {
  #show;
  #timer = null;
  #abort = null;

  constructor(show) {
    this.#show = show;
  }

  start() {
    this.read();
    this.#timer = setInterval(() => document.hidden || this.read(), SECONDS * 1000);
  }

  stop() {
    clearInterval(this.#timer);
    this.#abort?.abort();
  }

  async read() {
    this.#abort?.abort();
    const { signal } = (this.#abort = new AbortController());
    const { filters } = here();
    try {
      const { jobs, whole } = await newest(filters.time, signal);
      if (signal.aborted) return;
      this.#show({ jobs: jobs.filter((job) => matches(job, filters)), read: jobs.length, whole });
    } catch (problem) {
      // The list shows the same error.
      if (problem.status !== undefined) this.#show(null);
      else if (problem.name !== "AbortError") throw problem;
    }
  }
}

async function newest(time, signal) {
  const jobs = [];
  let cursor = null;
  do {
    const query = { ...listQuery({ time }), limit: PAGE, cursor };
    const { data } = await get("jobs", query, signal);
    jobs.push(...data.jobs);
    cursor = data.cursor;
  } while (cursor && jobs.length < AT_MOST);
  return { jobs, whole: !cursor };
}

// Filters in the same way as the API.
function matches(job, { type, queue, search }) {
  return (!type || job.job_type === type) && (!queue || job.queue_name === queue)
    && (!search || texts(job).some((each) => each.toLowerCase().startsWith(search.toLowerCase())));
}

function texts({ id, result_message: message, error }) {
  return [id, message ?? "", error ? `${error.kind}: ${error.message}` : "", error?.message ?? ""];
}
