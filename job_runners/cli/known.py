"""Check the names of job types and queues, and suggest the closest match for an unknown one."""

from collections.abc import Collection
from difflib import get_close_matches

import click

from job_runners.cli.problem import Problem
from job_runners.cli.target import Target


def check_job_type(target: Target, name: str) -> None:
    """Raise Problem, with the closest match, unless the stack has this job type."""
    job_types = target.printable(target.api.job_types())["jobs"]
    check_name(name, [job_type["name"] for job_type in job_types], "job type")


def check_name(name: str, known: Collection[str], noun: str) -> None:
    """Raise Problem, with the closest match, unless the name is known.

    `noun` says what is named, such as "job type".
    """
    if name not in known:
        hint = _suggestion(name, known) or "List them with job-runners types."
        raise Problem(f"No {noun} of this stack is named {name}.", hint=hint)


def check_queue(target: Target, name: str) -> None:
    """Raise Problem, with the existing queues, unless some job type may use this queue."""
    known = _queue_names(target)
    if name not in known:
        listed = f"The queues are {', '.join(sorted(known))}."
        raise Problem(
            f"This stack has no queue {name}: no job type uses it, and it has no limits.",
            hint=f"{_suggestion(name, known)} {listed}".lstrip(),
        )


def warn_of_unknown_queue(target: Target, name: str, consequence: str) -> None:
    """If no job type may use a queue, print a warning that states the `consequence`.

    This isn't an error, because jobs can be dispatched to a queue with any name. With --json,
    nothing is printed.
    """
    if target.json:
        return
    try:
        known = _queue_names(target)
    except Problem:
        return  # the command itself has succeeded
    if name not in known:
        hint = _suggestion(name, known) or f"The queues are {', '.join(sorted(known))}."
        click.secho(
            f"No job type of this stack uses a queue {name}: {consequence}. {hint}",
            fg="yellow",
            err=True,
        )


def _queue_names(target: Target) -> set[str]:
    """Return the names of all queues that job types may use."""
    job_types = target.printable(target.api.job_types())["jobs"]
    return {queue for job_type in job_types for queue in job_type["queues"]}


def _suggestion(name: str, known: Collection[str]) -> str:
    matches = get_close_matches(name, known, n=1)
    return f"Did you mean {matches[0]}?" if matches else ""
