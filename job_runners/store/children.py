"""The children of a job: the jobs that it has dispatched.

Each child is recorded as one of the job's steps (see `RunningJob.dispatch`). So recording a child
takes no other write, and finding the children takes no scan and no index.
"""

from typing import NamedTuple

from job_runners.errors import InvalidCursor
from job_runners.store import cursors, steps
from job_runners.store.job_request import JobRequest

PREFIX = "child "  # the prefix of the name of a step that dispatches a child
PAGE_LIMIT = 100  # BatchGetItem takes no more


def step_name(key: str) -> str:
    """Return the name of the step that dispatches the child with this key."""
    return f"{PREFIX}{key}"


class Child(NamedTuple):
    """A job that another job has dispatched under a key. `row` is None if the job is gone."""

    key: str
    id: str
    row: JobRequest | None


class Page(NamedTuple):
    """Some of a job's children, ordered by key. Pass `cursor` to get the next page."""

    children: list[Child]
    cursor: str | None


def page(parent: JobRequest, *, limit: int, cursor: str | None = None) -> Page:
    """Return a page of a job's children, with one Query and at most one BatchGetItem.

    Raises InvalidCursor.
    """
    after = _step_name_of(cursor) if cursor else None
    found = steps.with_prefix(parent, PREFIX, after=after, limit=limit + 1)
    ids = {step.sk.removeprefix(PREFIX): str(step.result) for step in found[:limit]}
    rows = {row.id: row for row in JobRequest.batch_get(list(ids.values()))}
    children = [Child(key, each, _shown(rows.get(each), parent)) for key, each in ids.items()]
    return Page(children, cursors.encode("", children[-1].key) if len(found) > limit else None)


def _shown(row: JobRequest | None, parent: JobRequest) -> JobRequest | None:
    gone = row is None or row.past_ttl or row.organization_id != parent.organization_id
    return None if gone else row


def _step_name_of(cursor: str) -> str:
    """Return the name of the step after which the next page begins."""
    name = step_name(cursors.decode("", cursor))
    if len(name.encode()) > steps.LONGEST_NAME:
        raise InvalidCursor
    return name
