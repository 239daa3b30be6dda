"""What a stack knows by name, for a name that looks wrong."""

from collections.abc import Collection
from difflib import get_close_matches

import click

from job_runners.cli.problem import Problem
from job_runners.cli.target import Target


def check_job_type(target: Target, name: str) -> None:
    """Raise Problem for a job type that the stack does not know, with the nearest that it does."""
    known = [each["name"] for each in target.api.types()["jobs"]]
    if name not in known:
        hint = _nearest(name, known) or "All of them: jobs types"
        raise Problem(f"This stack knows no job {name}.", hint=hint)


def check_queue(target: Target, name: str) -> None:
    """Raise Problem for a queue that no job type is in, or may be in, with those there are."""
    known = _queues(target)
    if name not in known:
        there_are = f"There are: {', '.join(sorted(known))}."
        raise Problem(
            f"This stack has no queue {name}: no job type is in it, and it has no limits.",
            hint=f"{_nearest(name, known)} {there_are}".lstrip(),
        )


def note_unknown_queue(target: Target, name: str, consequence: str) -> None:
    """Say that no job type is in this queue, and what follows: it may be meant, for a job may be
    dispatched to a queue of any name. With --json nothing is said."""
    if target.json:
        return
    try:
        known = _queues(target)
    except Problem:
        return  # what was asked for is done all the same
    if name not in known:
        hint = _nearest(name, known) or f"Their queues: {', '.join(sorted(known))}."
        click.secho(
            f"No job type of this stack is in a queue {name}: {consequence}. {hint}",
            fg="yellow",
            err=True,
        )


def _queues(target: Target) -> set[str]:
    """Return the queues that job types are in, or may be asked for."""
    types = target.api.types()["jobs"]
    return {name for each in types for name in (each["queue_name"], *each.get("queues", ()))}


def _nearest(name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"Did you mean {near[0]}?" if near else ""
