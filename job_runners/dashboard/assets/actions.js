// Actions on a job or a failed task, each with its question and its confirmation.

import { call } from "./api.js";
import { ask, say } from "./say.js";

const path = (job, verb = "") => `jobs/${encodeURIComponent(job.id)}${verb}`;

/** Show the outcome of a dispatch. For unique work, an existing job may be the answer. */
export function sayDispatched({ data: job, uniqueOutcome }, otherwise = "Dispatched") {
  const id = job.id.slice(0, 8);
  const before = job.waits_for?.kind === "job" ? `job ${job.waits_for.name.slice(0, 8)}` : "the running job";
  const words = {
    returned: `Already ${job.status === "running" ? "running" : "queued"} as ${id} (same work)`,
    replaced: `Job ${id} does the same work, and takes this payload and time`,
    follows: `Starts after ${before}, which does the same work`,
  };
  say(words[uniqueOutcome] ?? otherwise);
}

/** Cancel a job after a question. Returns whether anything changed. */
export async function cancelJob(job) {
  const running = job.status === "running";
  const words = running
    ? "The job is running. It stops at its next checkpoint."
    : "The job hasn't started. You can retry it later.";
  if (!(await ask("Cancel this job?", words, "Cancel the job", { danger: true, no: "Keep the job" }))) return false;
  const { status } = await call("POST", path(job, "/cancel"));
  say(status === 202 ? "Stopping at the next checkpoint" : "Canceled");
  return true;
}

/** Cancel a batch and its members, after a question. Returns whether it was asked for. */
export async function cancelBatch(job) {
  const words = "Members that run are asked to stop. The batch is canceled once all members have ended.";
  if (!(await ask("Cancel the batch with its members?", words, "Cancel all", { danger: true, no: "Keep them" }))) return false;
  await call("POST", path(job, "/cancel?members=true"));
  say("Canceling the members");
  return true;
}

/** Send the signal that a job waits for, after a question. Returns whether it was sent. */
export async function answerJob(job, name, value) {
  const words = `The job gets ${JSON.stringify(value)} as the signal ${name}. Only the first answer counts.`;
  if (!(await ask("Send this answer?", words, "Answer", { no: "Not now" }))) return false;
  await call("PUT", path(job, `/signals/${encodeURIComponent(name)}`), { body: { value } });
  say("Answered");
  return true;
}

/** Send the signal with a value that the user has written as JSON. */
export function answerWith(job, name, text) {
  try {
    return answerJob(job, name, JSON.parse(text));
  } catch {
    say('The value isn\'t JSON. Enter a value such as true, 7 or "yes".', true);
    return false;
  }
}

/** Retry a job from its last checkpoint. */
export async function retryJob(job) {
  await call("POST", path(job, "/retry"));
  say("Queued for a retry");
  return true;
}

/** Retry a job from the start with another payload. */
export async function retryWith(job, payload) {
  await call("POST", path(job, "/retry"), { body: { payload } });
  say("Queued for a retry with the edited payload");
}

/** Dispatch a copy of a job after a question. Returns the new job, or null. */
export async function runAgain(job) {
  const words = "Dispatches a new job with the same payload. Anything this job sent will be sent again.";
  if (!(await ask("Run this job again?", words, "Run again", { no: "Not now" }))) return null;
  const headers = { "Idempotency-Key": crypto.randomUUID() };
  const answer = await call("POST", path(job, "/rerun"), { headers });
  sayDispatched(answer, "Dispatched as a new job");
  return answer.data;
}

/** Delete a job after a question. Returns whether it was deleted. */
export async function deleteJob(job) {
  const words = "Deletes its payload, result, error and files too. Only an administrator can restore them.";
  if (!(await ask("Delete this job?", words, "Delete", { danger: true }))) return false;
  await call("DELETE", path(job));
  say("Deleted");
  return true;
}

/** Resend a failed task after a question. Returns whether it was sent. */
export async function redriveTask(task) {
  const words = "The task starts over. Anything it did before it failed is done again.";
  if (!(await ask("Resend this task?", words, "Resend", { no: "Not now" }))) return false;
  const { data } = await call("POST", `tasks/failed/${encodeURIComponent(task.id)}/redrive`);
  say(`Resent as ${data.id}`);
  return true;
}
