"""Follow jobs until they finish: poll when the API suggests, and show changes."""

import heapq
import sys
import time

import click

from job_runners.cli import output
from job_runners.cli.output import Job
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.target import Target
from job_runners.cli.watching import Screen, screen


def _read(target: Target, job_id: str) -> tuple[Job, float]:
    """Return a job, and the seconds that the API suggests to wait before the next poll.

    For people, a job that waits for a group has its `counts`.
    """
    found = target.api.get(job_id)
    job = target.shown(found)
    reason = job.get("waits_for")
    if reason and reason["kind"] == "group" and not target.json:
        groups = {each.name: each for each in target.api.groups(job_id)}
        group = groups.get(found.waits_for.name if found.waits_for else "")
        job["waits_for"] = {**reason, "counts": group and target.shown(group)}
        if group and job["job_type"] == "batch":
            job["progress"] = group.progress
    return job, found.retry_after or 1


Jobs = dict[str, Job | None]  # the last known state of each job, by its id
FINISHED = frozenset({"succeeded", "failed", "canceled"})
_PATIENCE = 300  # seconds without an answer before giving up
_PAUSE = 5  # seconds between tries while the API doesn't answer


def _unfinished(jobs: Jobs) -> list[str]:
    """Return the ids of jobs that aren't known to have finished."""
    return [each for each, job in jobs.items() if job is None or job["status"] not in FINISHED]


def _follow(target: Target, jobs: Jobs, screen: Screen, timeout: float | None) -> None:
    """Follow jobs until all have finished or `timeout` seconds have passed.

    `jobs` is updated at each poll, so that the caller can use it after an interrupt.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    next_polls = [(0.0, job_id) for job_id in jobs]
    while next_polls:
        poll_at, job_id = heapq.heappop(next_polls)
        if deadline is not None and max(poll_at, time.monotonic()) > deadline:
            time.sleep(max(0.0, deadline - time.monotonic()))
            return
        time.sleep(max(0.0, poll_at - time.monotonic()))
        job, retry_after = _read_patiently(target, job_id, screen)
        jobs[job_id] = job
        screen.show(job)
        if job["status"] not in FINISHED:
            heapq.heappush(next_polls, (time.monotonic() + retry_after, job_id))


def _read_patiently(target: Target, job_id: str, screen: Screen) -> tuple[Job, float]:
    """Read a job, and retry for a few minutes while the API doesn't answer."""
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            return _read(target, job_id)
        except Problem as problem:
            if problem.code is not Exit.NO_ANSWER or time.monotonic() > give_up:
                raise
            screen.note(f"{problem} Retrying.")
        time.sleep(_PAUSE)


def watch_jobs(target: Target, ids: list[str], timeout: float | None = None) -> Exit:
    """Follow jobs until they finish, print the outcome and return the exit code."""
    jobs: Jobs = dict.fromkeys(ids)
    try:
        with screen(ids, as_json=target.json) as shown:
            _follow(target, jobs, shown, timeout)
    except KeyboardInterrupt:
        _note_unfinished(_unfinished(jobs), "You stopped watching")
        return Exit.INTERRUPTED
    if unfinished := _unfinished(jobs):
        _note_unfinished(unfinished, "Timed out")
    if not target.json and len(jobs) == 1:
        _print_outcome(jobs[ids[0]] or {})
    return _code(target, jobs)


def _code(target: Target, jobs: Jobs) -> Exit:
    """Return the exit code for jobs. A batch succeeds even if members have failed."""
    known = [job for job in jobs.values() if job]
    statuses = {job["status"] for job in known}
    if "failed" in statuses:
        return Exit.JOB_FAILED
    if "canceled" in statuses:
        return Exit.JOB_CANCELED
    if _unfinished(jobs):
        return Exit.STILL_RUNNING
    batches = [job["id"] for job in known if job["job_type"] == "batch"]
    return Exit.JOB_FAILED if any(target.api.batch(each).failed for each in batches) else Exit.DONE


def _note_unfinished(ids: list[str], why: str) -> None:
    continues = "The job continues" if len(ids) == 1 else f"{len(ids)} jobs continue"
    click.echo(f"{why}. {continues}.", err=True)
    click.echo(f"  job-runners watch {' '.join(ids)}", err=True)
    click.echo(f"  job-runners cancel {' '.join(ids)}", err=True)


def _print_outcome(job: Job) -> None:
    """Print the result or the error, which the user would look up next."""
    if job.get("status") == "succeeded" and job.get("result") is not None:
        output.print_json(job["result"])
    if job.get("status") == "failed":
        error = job.get("error") or {}
        if sys.stdout.isatty():  # in a pipe, the job's line has the error already
            words = output.indented(f"{error.get('kind')}: {error.get('message')}", 2)
            click.secho(words, fg="red")
        short = output.short(job["id"])
        if error.get("traceback"):
            click.echo(f"Traceback: job-runners show {short} --traceback", err=True)
        click.echo(f"Log: job-runners logs {short}\nRetry: job-runners retry {short}", err=True)
