"""Complete the id of a job, failed task or error group from its first characters."""

import re
from collections.abc import Iterable
from itertools import islice
from typing import Any

from job_runners.cli.problem import NoMatchingId, Problem
from job_runners.cli.target import Target

_MAX_SEARCHED = 500  # newest jobs
_ID_START = re.compile(r"[0-9a-f]{4,31}")


def find_job(target: Target, start: str, job_type: str | None = None) -> str:
    """Search the organization's newest jobs for the id that starts with `start`.

    If `start` isn't 4 to 31 hex digits, return it unchanged, because the API will check it. It may
    be a complete id. Raises NoMatchingId, or Problem for several matches.
    """
    return _only_match(
        start,
        "jobs",
        islice(target.api.list(job_type=job_type), _MAX_SEARCHED),
        f"None of the newest {_MAX_SEARCHED} jobs of {target.organization_in_words} has an id that "
        f"starts with {start}.",
        "Pass the full id, or another --organization.",
    )


def find_task(target: Target, start: str) -> str:
    """Like `find_job`, but search the tasks that failed in the last week."""
    return _only_match(
        start,
        "failed tasks",
        target.api.failed_tasks(),
        f"No task that failed in the last week has an id that starts with {start}.",
        "Pass the full id. List the failed tasks with job-runners failures tasks.",
    )


def find_error_group(target: Target, start: str) -> str:
    """Like `find_job`, but search the organization's error groups."""
    return _only_match(
        start,
        "error groups",
        target.api.error_groups(),
        f"No error group of {target.organization_in_words} has an id that starts with {start}.",
        "List the error groups with job-runners failures, or pass another --organization.",
    )


def _only_match(start: str, plural: str, objects: Iterable[Any], if_none: str, hint: str) -> str:
    """Return the only id that starts with `start`.

    In errors, `plural` is the word for the objects. If no id matches, `if_none` is the error's
    message, and `hint` its hint.
    """
    if not _ID_START.fullmatch(start):
        return start
    matches: list[str] = [each.id for each in objects if each.id.startswith(start)]
    if not matches:
        raise NoMatchingId(if_none, hint=hint)
    if len(matches) > 1:
        raise Problem(
            f"{len(matches)} {plural} have ids that start with {start}.",
            hint=f"Pass one of {', '.join(matches)}.",
        )
    return matches[0]
