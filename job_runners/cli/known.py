"""Check the names of job types and queues, and suggest the closest match."""

from collections.abc import Collection
from difflib import get_close_matches

import click

from job_runners.cli.problem import Problem
from job_runners.cli.target import Target


def check_job_type(target: Target, name: str) -> None:
    """Check that the stack has a job type. Raises Problem with the closest match."""
    known = [entry["name"] for entry in target.printable(target.api.job_types())["jobs"]]
    check_name(name, known, "job type")


def check_name(name: str, known: Collection[str], noun: str) -> None:
    """Check a name. Raises Problem with the closest match. `noun` is the word for the named thing,
    such as "job type"."""
    if name not in known:
        hint = _suggestion(name, known) or "List them with job-runners types."
        raise Problem(f"No {noun} of this stack is named {name}.", hint=hint)


def check_queue(target: Target, name: str) -> None:
    """Check that some job type uses or may use a queue. Raises Problem with the existing queues."""
    known = _queues(target)
    if name not in known:
        listed = f"The queues are {', '.join(sorted(known))}."
        raise Problem(
            f"This stack has no queue {name}: no job type uses it, and it has no limits.",
            hint=f"{_suggestion(name, known)} {listed}".lstrip(),
        )


def warn_of_unknown_queue(target: Target, name: str, consequence: str) -> None:
    """If no job type uses a queue, print a warning that ends with `consequence`.

    This is no error, because a job can be dispatched to a queue of any name. With --json, print
    nothing.
    """
    if target.json:
        return
    try:
        known = _queues(target)
    except Problem:
        return  # the command has succeeded, even if this call failed
    if name not in known:
        hint = _suggestion(name, known) or f"The queues are {', '.join(sorted(known))}."
        click.secho(
            f"No job type of this stack uses a queue {name}: {consequence}. {hint}",
            fg="yellow",
            err=True,
        )


def _queues(target: Target) -> set[str]:
    """Return the queues that job types use or may use."""
    job_types = target.printable(target.api.job_types())["jobs"]
    return {queue for job_type in job_types for queue in job_type["queues"]}


def _suggestion(name: str, known: Collection[str]) -> str:
    matches = get_close_matches(name, known, n=1)
    return f"Did you mean {matches[0]}?" if matches else ""
