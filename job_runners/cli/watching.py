"""Show the jobs that a command follows, as lines of text or of JSON."""

import sys
from datetime import datetime
from typing import Any

import click

from job_runners.cli import output
from job_runners.cli.output import Job


class Lines:
    """Prints a line for each change of a job."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[Any, ...]] = {}  # the values printed last, by job id

    def show(self, job: Job) -> None:
        """Print the job if it has changed."""
        values = (job["status"], job["progress"], state(job))
        if self._last.get(job["id"]) != values:
            self._last[job["id"]] = values
            self._print(job)

    def note(self, text: str) -> None:
        """Print a note to standard error."""
        click.echo(text, err=True)

    def _print(self, job: Job) -> None:
        now = datetime.now().astimezone().strftime("%H:%M:%S")
        line = f"{now}  {job['id']}  {job['status']:<9}  {job['progress']:>3.0f}%  {state(job)}"
        click.echo(line.rstrip())
        sys.stdout.flush()  # for the reader of a pipe


class JsonLines(Lines):
    """Prints a line of JSON for each change of a job."""

    def _print(self, job: Job) -> None:
        output.print_json_line(job)
        sys.stdout.flush()


def state(job: Job) -> str:
    """Return a line with the job's error, the reason for its wait or its latest message."""
    return output.one_line(_state_in_words(job))


def wait_in_words(wait: dict[str, Any] | None) -> str | None:
    """Return in words what a job waits for. `wait` is the job's `waits_for`, which may be None."""
    if wait is None:
        return None
    name = wait["name"]
    match wait["kind"]:
        case "job":
            return f"the end of job {name}"
        case "time":
            return f"the end of its sleep {name}, at {output.clock(wait['until'])}"
        case "signal":
            names = " or ".join(wait["names"])
            return f"the signal {names}, until {output.clock(wait['until'])} (job-runners signal)"
        case "group":
            counts = wait.get("counts")
            ended = f": {counts_in_words(counts)}" if counts else ""
            return f"the jobs of its group {name}{ended}"
        case "line":  # the job waits for capacity in its queue
            # The key is None if this user may not see it. It is * if the queue isn't divided.
            key = "" if wait["key"] in (None, "*") else f", {wait['key']}"
            return f"its turn in queue {name}{key}"
        case kind:
            return f"{kind.replace('_', ' ')} {name}, which is paused"


def counts_in_words(group: dict[str, Any]) -> str:
    """Return how many members of a group have ended, in words."""
    ended = f"{group['total'] - group['open']:,} of {group['total']:,} have ended"
    return f"{ended}, {group['failed']:,} failed" if group["failed"] else ended


def _state_in_words(job: Job) -> str:
    error = job["error"] or {}
    reason = f"{error.get('kind')}: {error.get('message')}"
    match job["status"]:
        case "failed":
            return reason
        case "retryable":
            attempt = f"attempt {job['attempt']} of {job['max_attempts']}"
            return f"{attempt} at {output.clock(job['run_at'])}, after {reason}"
        case "scheduled" | "waiting" if job["waits_for"]:
            return f"waits for {wait_in_words(job['waits_for'])}"
        case "scheduled":
            return f"starts at {output.clock(job['run_at'])}"
        case "running" if job["cancel_requested"]:
            return "asked to stop when it next saves a checkpoint"
    return job["result_message"] or ""
