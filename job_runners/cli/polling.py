"""Follow jobs until they finish: poll them as often as the API suggests, and show changes."""

import heapq
import time

import click

from job_runners.cli import output
from job_runners.cli.output import Job
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.target import Target
from job_runners.cli.watching import JsonLines, Lines

Jobs = dict[str, Job | None]  # the last known state of each job, by its id
FINISHED = frozenset({"succeeded", "failed", "canceled"})
_MAX_OUTAGE = 300  # seconds without a response before the command gives up
_RETRY_SECONDS = 5  # the wait between two tries while the API doesn't respond


def _read(target: Target, job_id: str) -> tuple[Job, float]:
    """Return a job, and the seconds that the API suggests to wait before the next poll.

    Unless the output is JSON, add the counts of the group that the job waits for. A group is a set
    of jobs, such as the members of a batch.
    """
    api_job = target.api.get(job_id)
    job = target.printable(api_job)
    wait = job.get("waits_for")
    if wait and wait["kind"] == "group" and not target.json:
        _add_group(target, job)
    return job, api_job.retry_after or 1


def _add_group(target: Target, job: Job) -> None:
    """Add the counts of the group that a job waits for. If the job is a batch, add its progress."""
    name = job["waits_for"]["name"]
    for group in target.api.groups(job["id"]):
        if output.plain(group.name) == name:
            job["waits_for"]["counts"] = target.printable(group)
            if job["job_type"] == "batch":
                job["progress"] = group.progress


def _unfinished(jobs: Jobs) -> list[str]:
    """Return the ids of jobs that aren't known to have finished."""
    return [job_id for job_id, job in jobs.items() if job is None or job["status"] not in FINISHED]


def _follow(target: Target, jobs: Jobs, lines: Lines, timeout: float | None) -> None:
    """Follow jobs until all have finished or `timeout` seconds have passed.

    Each poll updates `jobs`, so that the caller can use it after Ctrl-C.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    next_polls = [(0.0, job_id) for job_id in jobs]  # a heap, so that the next poll comes first
    while next_polls:
        poll_at, job_id = heapq.heappop(next_polls)
        poll_at = max(poll_at, time.monotonic())
        if deadline is not None and poll_at > deadline:
            _sleep_until(deadline)
            return
        _sleep_until(poll_at)
        job, retry_after = _read_with_retries(target, job_id, lines)
        jobs[job_id] = job
        lines.show(job)
        if job["status"] not in FINISHED:
            heapq.heappush(next_polls, (time.monotonic() + retry_after, job_id))


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _read_with_retries(target: Target, job_id: str, lines: Lines) -> tuple[Job, float]:
    """Read a job as `_read` does, and retry for a few minutes while the API doesn't respond."""
    deadline = time.monotonic() + _MAX_OUTAGE
    while True:
        try:
            return _read(target, job_id)
        except Problem as problem:
            if problem.code is not Exit.NO_ANSWER or time.monotonic() > deadline:
                raise
            lines.note(f"{problem} Retrying.")
        time.sleep(_RETRY_SECONDS)


def watch_jobs(target: Target, ids: list[str], timeout: float | None = None) -> Exit:
    """Follow jobs until they finish, print the outcome and return the exit code."""
    jobs: Jobs = dict.fromkeys(ids)
    try:
        _follow(target, jobs, JsonLines() if target.json else Lines(), timeout)
    except KeyboardInterrupt:
        _print_unfinished(_unfinished(jobs), "You stopped watching")
        return Exit.INTERRUPTED
    unfinished = _unfinished(jobs)
    if unfinished:
        _print_unfinished(unfinished, "Timed out")
    if not target.json and len(jobs) == 1:
        _print_outcome(jobs[ids[0]] or {})
    return _exit_code(target, jobs)


def _exit_code(target: Target, jobs: Jobs) -> Exit:
    """Return the exit code for the jobs.

    A batch may succeed although members have failed. Then the code is JOB_FAILED too.
    """
    known_jobs = [job for job in jobs.values() if job]
    statuses = {job["status"] for job in known_jobs}
    if "failed" in statuses:
        return Exit.JOB_FAILED
    if "canceled" in statuses:
        return Exit.JOB_CANCELED
    if _unfinished(jobs):
        return Exit.STILL_RUNNING
    batch_ids = [job["id"] for job in known_jobs if job["job_type"] == "batch"]
    if any(target.api.batch(batch_id).failed for batch_id in batch_ids):
        return Exit.JOB_FAILED
    return Exit.DONE


def _print_unfinished(ids: list[str], why: str) -> None:
    continues = "The job continues" if len(ids) == 1 else f"{len(ids)} jobs continue"
    click.echo(f"{why}. {continues}.", err=True)
    click.echo(f"  job-runners watch {' '.join(ids)}", err=True)
    click.echo(f"  job-runners cancel {' '.join(ids)}", err=True)


def _print_outcome(job: Job) -> None:
    """Print the result of a job that succeeded, or what to do about one that failed."""
    if job.get("status") == "succeeded" and job.get("result") is not None:
        output.print_json(job["result"])
    if job.get("status") == "failed":
        short_id = output.short_id(job["id"])
        if (job.get("error") or {}).get("traceback"):
            click.echo(f"Traceback: job-runners show {short_id} --traceback", err=True)
        click.echo(
            f"Log: job-runners logs {short_id}\nRetry: job-runners retry {short_id}", err=True
        )
