"""Find a job, failed task or error group by the start of its id."""

import re
from collections.abc import Iterable
from itertools import islice

from job_runners.cli.problem import NoMatchingId, Problem
from job_runners.cli.target import Target

_MAX_SEARCHED = 500  # number of newest jobs that are searched for an id
_ID_START = re.compile(r"[0-9a-f]{4,31}")


def find_job(target: Target, start: str, job_type: str | None = None) -> str:
    """Return the id that starts with `start` among the organization's newest jobs.

    With `job_type`, search only jobs of this type.

    Raises NoMatchingId if there is none, and Problem if there are several. A text that isn't 4
    to 31 hex digits, such as a whole id, is returned unchanged: the API checks it.
    """
    if not _ID_START.fullmatch(start):
        return start
    newest = islice(target.api.list(job_type=job_type), _MAX_SEARCHED)
    return _only(
        start,
        "jobs",
        (each.id for each in newest),
        f"None of the newest {_MAX_SEARCHED} jobs of {target.owner} has an id that starts with "
        f"{start}.",
        "Pass the full id, or another --organization.",
    )


def find_task(target: Target, start: str) -> str:
    """Return the id that starts with `start` among the tasks that failed in the last week.

    In all other respects, this function works like `find_job`.
    """
    if not _ID_START.fullmatch(start):
        return start
    return _only(
        start,
        "failed tasks",
        (each.id for each in target.api.failed_tasks()),
        f"No task that failed in the last week has an id that starts with {start}.",
        "Pass the full id. List the failed tasks with job-runners failures tasks.",
    )


def find_error_group(target: Target, start: str) -> str:
    """Return the id of the only error group whose id starts with `start`. Raises NoMatchingId,
    Problem."""
    return _only(
        start,
        "error groups",
        (each.id for each in target.api.error_groups()),
        f"No error group of {target.owner} has an id that starts with {start}.",
        "List the error groups with job-runners failures, or pass another --organization.",
    )


def _only(start: str, what: str, ids: Iterable[str], if_none: str, hint: str) -> str:
    found = [each for each in ids if each.startswith(start)]
    if not found:
        raise NoMatchingId(if_none, hint=hint)
    if len(found) > 1:
        raise Problem(
            f"{len(found)} {what} have ids that start with {start}.",
            hint=f"Pass one of {', '.join(found)}.",
        )
    return found[0]
