// What can be done to a job or a failed task, each with the words that ask for it and tell that it was done.

import { call } from "./api.js";
import { ask, say } from "./say.js";

const path = (job, verb = "") => `jobs/${encodeURIComponent(job.id)}${verb}`;

/** Say what became of a dispatch, from the answer to it: of work that is unique, a job may have been there before. */
export function sayDispatched({ data: job, uniqueOutcome }, otherwise = "Dispatched") {
  const id = job.id.slice(0, 8);
  const before = job.waits_for?.kind === "job" ? `job ${job.waits_for.name.slice(0, 8)}` : "the one that has begun";
  const words = {
    returned: `${job.status === "running" ? "Already running" : "Already there"} as ${id}: it is the same work`,
    replaced: `Job ${id} was there already, and takes this payload and time`,
    follows: `Starts when ${before} has ended, which is the same work`,
  };
  say(words[uniqueOutcome] ?? otherwise);
}

/** Cancel it, if the person means it; whether anything changed. */
export async function cancelJob(job) {
  const running = job.status === "running";
  const words = running
    ? "It is running. It will be told to stop, and stops at its next checkpoint."
    : "It has not started, and then never will. It can be retried later.";
  if (!(await ask("Cancel this job?", words, "Cancel the job", { danger: true }))) return false;
  const { status } = await call("POST", path(job, "/cancel"));
  say(status === 202 ? "Asked to stop: it ends at its next checkpoint" : "Cancelled");
  return true;
}

/** Queue it again as it was: a failed job goes on where its last checkpoint left it. */
export async function retryJob(job) {
  await call("POST", path(job, "/retry"));
  say("Queued again");
  return true;
}

/** Queue it again from the beginning, with another payload. */
export async function retryWith(job, payload) {
  await call("POST", path(job, "/retry"), { body: { payload } });
  say("Queued again with the edited payload");
}

/** Dispatch a new job like it, if the person means it; the new one, or null. */
export async function runAgain(job) {
  const words = "A new job with the same payload does once more what this one did: what it has sent is "
    + "sent again.";
  if (!(await ask("Run this job again?", words, "Run again", { no: "Not now" }))) return null;
  const headers = { "Idempotency-Key": crypto.randomUUID() };
  const answer = await call("POST", path(job, "/rerun"), { headers });
  sayDispatched(answer, "Dispatched as a new job");
  return answer.data;
}

/** Delete it, if the person means it; whether it is gone. */
export async function deleteJob(job) {
  const words = "Its payload, result, error and files go with it. Only an administrator can restore them.";
  if (!(await ask("Delete this job?", words, "Delete", { danger: true }))) return false;
  await call("DELETE", path(job));
  say("Deleted");
  return true;
}

/** Send a failed task again, if the person means it; whether it was sent. */
export async function redriveTask(task) {
  const words = "It starts from the beginning: what it did before it failed, it does again.";
  if (!(await ask("Send this task again?", words, "Send again", { no: "Not now" }))) return false;
  const { data } = await call("POST", `tasks/failed/${encodeURIComponent(task.id)}/redrive`);
  say(`Sent again as ${data.id}`);
  return true;
}
