"""List the children of a job: the jobs that it has dispatched, and the members of its groups.

Each dispatch of a child is one of the job's steps (see `RunningJob.dispatch`). So recording a child
takes no additional write, and finding the children takes neither a scan nor an index.
"""

import re
from typing import NamedTuple

from job_runners.errors import InvalidCursor
from job_runners.store import cursors, steps
from job_runners.store.job_request import JobRequest
from job_runners.store.queries import read_many

PREFIX = "child "  # the prefix of the name of a step that dispatches a child
# The marks with which two kinds of cursors begin: see job_runners.store.cursors.
_IN_GROUP = "\0"  # the next page begins with a member of a group
_BY_NUMBER = "\1"  # the cursor is the number of children on the pages so far
_MAX_CHILDREN = 1_000_000  # children of one job


def step_name(key: str) -> str:
    """Return the name of the step that dispatches the child with this key."""
    return f"{PREFIX}{key}"


class Child(NamedTuple):
    """A job that another job has dispatched under a key."""

    key: str
    id: str
    row: JobRequest | None  # None if the row is gone
    group: str | None = None  # the name of the group that the child is in


class Page(NamedTuple):
    """Some of a job's children: first those in no group, by key, then the members of each group."""

    children: list[Child]
    cursor: str | None  # the cursor of the next page, if there is one


def page(
    parent: JobRequest, *, limit: int, cursor: str | None = None, hides_keys: bool = False
) -> Page:
    """Return a page of a job's children. Raises InvalidCursor.

    If the job has no groups, that takes one Query and at most one BatchGetItem. Pass
    `hides_keys=True` for a caller who must not learn the children's keys: neither the cursor nor
    the order of the children then depends on the keys. Each page then reads the steps of all
    children, and lists the children in the order of their ids.
    """
    if cursor and cursors.decode("", cursor).startswith(_IN_GROUP):
        name, index = _decode_group_cursor(cursor)
        return _add_members(parent, [], limit, name, index)
    start = 0
    if hides_keys:
        start = _number(cursors.decode(_BY_NUMBER, cursor)) if cursor else 0
        all_steps = steps.with_prefix(parent, PREFIX, after=None, limit=_MAX_CHILDREN)
        all_steps.sort(key=lambda step: str(step.result))
        child_steps = all_steps[start : start + limit + 1]
    else:
        after = _step_name_of(cursors.decode(PREFIX, cursor)) if cursor else None
        child_steps = steps.with_prefix(parent, PREFIX, after=after, limit=limit + 1)
    ids = {step.sk.removeprefix(PREFIX): str(step.result) for step in child_steps[:limit]}
    # The read is consistent, so that a child that was just dispatched doesn't look gone.
    rows = read_many(ids.values(), fresh=True)
    children = [
        Child(key, child_id, _visible(rows.get(child_id), parent)) for key, child_id in ids.items()
    ]
    if len(child_steps) > limit:
        if hides_keys:
            next_cursor = cursors.encode(_BY_NUMBER, str(start + limit))
        else:
            next_cursor = cursors.encode(PREFIX, children[-1].key)
        return Page(children, next_cursor)
    if parent.last_group_id is None:
        return Page(children, None)
    return _add_members(parent, children, limit)


def _add_members(
    parent: JobRequest, children: list[Child], limit: int, first: str = "", index: int = 0
) -> Page:
    """Return a page of these children and of members of groups, up to `limit` in total.

    The first member is the one with this `index` in the group named `first`.
    """
    from job_runners.store import groups  # imported here because most jobs have no group
    from job_runners.store.group_members import Reader

    for name, group in groups.named_groups(parent):
        if name < first:
            continue
        start = index if name == first else 0
        page = Reader(group).page(start, limit - len(children))
        children += [Child(member.key, member.id, member.row, name) for member in page.members]
        if page.next is not None:
            return Page(children, cursors.encode(_IN_GROUP, f"{page.next}#{name}"))
    return Page(children, None)


def _decode_group_cursor(cursor: str) -> tuple[str, int]:
    """Return the name of the group and the index of the member with which the next page begins."""
    index, _, name = cursors.decode(_IN_GROUP, cursor).partition("#")
    return name, _number(index)


def _number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,6}", text):
        raise InvalidCursor
    return int(text)


def _visible(row: JobRequest | None, parent: JobRequest) -> JobRequest | None:
    """Return the row, unless its id now belongs to a job of another organization."""
    if row is None or row.organization_id != parent.organization_id:
        return None
    return row


def _step_name_of(key: str) -> str:
    """Return the name of the step after which the next page begins."""
    name = step_name(key)
    if len(name.encode()) > steps.MAX_NAME_BYTES:
        raise InvalidCursor
    return name
