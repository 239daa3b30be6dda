"""Check the names of job types and queues, and suggest the closest match."""

from collections.abc import Collection
from difflib import get_close_matches

import click

from job_runners.cli.problem import Problem
from job_runners.cli.target import Target


def check_job_type(target: Target, name: str) -> None:
    """Check that the stack has a job type. Raises Problem with the closest match."""
    known = [each["name"] for each in target.shown(target.api.job_types())["jobs"]]
    check_name(name, known, "job type")


def check_name(name: str, known: Collection[str], what: str) -> None:
    """Check the name of a `what`, such as a job type. Raises Problem with the closest match."""
    if name not in known:
        hint = _nearest(name, known) or "List them with job-runners types."
        raise Problem(f"No {what} of this stack is named {name}.", hint=hint)


def check_queue(target: Target, name: str) -> None:
    """Check that some job type uses or may use a queue. Raises Problem with the existing queues."""
    known = _queues(target)
    if name not in known:
        listed = f"The queues are {', '.join(sorted(known))}."
        raise Problem(
            f"This stack has no queue {name}: no job type uses it, and it has no limits.",
            hint=f"{_nearest(name, known)} {listed}".lstrip(),
        )


def note_unknown_queue(target: Target, name: str, consequence: str) -> None:
    """If no job type uses a queue, print a warning with the consequence, unless --json is set.

    The name may be right, because a job can be dispatched to a queue of any name.
    """
    if target.json:
        return
    try:
        known = _queues(target)
    except Problem:
        return  # the command itself has succeeded
    if name not in known:
        hint = _nearest(name, known) or f"The queues are {', '.join(sorted(known))}."
        click.secho(
            f"No job type of this stack uses a queue {name}: {consequence}. {hint}",
            fg="yellow",
            err=True,
        )


def _queues(target: Target) -> set[str]:
    """Return the queues that job types use or may use."""
    types = target.shown(target.api.job_types())["jobs"]
    return {name for each in types for name in (each["queue_name"], *each.get("queues", ()))}


def _nearest(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"Did you mean {near[0]}?" if near else ""
