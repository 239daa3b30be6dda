"""List the children of a job: the jobs that it has dispatched, and the members of its groups.

Each dispatch of a child is one of the job's steps (see `RunningJob.dispatch`). So a child needs no
additional record, and finding children needs no scan or index.
"""

import re
from typing import NamedTuple

from job_runners.errors import InvalidCursor
from job_runners.store import cursors, steps
from job_runners.store.job_request import JobRequest
from job_runners.store.queries import read_many

STEP_PREFIX = "child "  # begins the name of a step that dispatches a child
# Prefixes of cursors: see job_runners.store.cursors. A cursor says where the next page begins. Most
# cursors begin with STEP_PREFIX, and name the last child of the page before.
_MEMBER_CURSOR = "\0"  # the next page begins with this member of a group
_COUNT_CURSOR = "\1"  # the next page begins after this many children
_MAX_CHILDREN = 1_000_000  # per job


def step_name(key: str) -> str:
    """Return the name of the step that dispatches the child with this key."""
    return f"{STEP_PREFIX}{key}"


class Child(NamedTuple):
    """A job that another job has dispatched under a key."""

    key: str
    id: str
    row: JobRequest | None  # None if the row is gone
    group: str | None = None  # the name of the group that the child is in


class Page(NamedTuple):
    """Some of a job's children. Those in no group come first, ordered by key."""

    children: list[Child]
    cursor: str | None  # the cursor of the next page, if there is one


def page(
    parent: JobRequest, *, limit: int, cursor: str | None = None, hides_keys: bool = False
) -> Page:
    """Return a page of a job's children. Raises InvalidCursor.

    If the job has no groups, a page takes one Query and at most one BatchGetItem. Pass
    `hides_keys=True` for a caller who must not learn the children's keys. Then neither the cursor
    nor the order depends on the keys: each page reads the steps of all children, and the children
    are ordered by id.
    """
    if cursor and cursors.decode("", cursor).startswith(_MEMBER_CURSOR):
        group_name, index = _decode_member_cursor(cursor)
        return _add_members(parent, [], limit, group_name, index)
    start = 0
    if hides_keys:
        start = _parse_number(cursors.decode(_COUNT_CURSOR, cursor)) if cursor else 0
        all_steps = steps.with_prefix(parent, STEP_PREFIX, after=None, limit=_MAX_CHILDREN)
        all_steps.sort(key=lambda step: str(step.result))
        child_steps = all_steps[start : start + limit + 1]
    else:
        last_step = _checked_step_name(cursors.decode(STEP_PREFIX, cursor)) if cursor else None
        child_steps = steps.with_prefix(parent, STEP_PREFIX, after=last_step, limit=limit + 1)
    ids = {step.sk.removeprefix(STEP_PREFIX): str(step.result) for step in child_steps[:limit]}
    # The read is consistent, so that a child that was just dispatched doesn't look gone.
    rows = read_many(ids.values(), fresh=True)
    children = [
        Child(key, child_id, _visible(rows.get(child_id), parent)) for key, child_id in ids.items()
    ]
    if len(child_steps) > limit:
        if hides_keys:
            next_cursor = cursors.encode(_COUNT_CURSOR, str(start + limit))
        else:
            next_cursor = cursors.encode(STEP_PREFIX, children[-1].key)
        return Page(children, next_cursor)
    if parent.last_group_id is None:
        return Page(children, None)
    return _add_members(parent, children, limit)


def _add_members(
    parent: JobRequest, children: list[Child], limit: int, first_group: str = "", index: int = 0
) -> Page:
    """Return a page of these children and of members of groups, up to `limit` in total.

    The first member is the one with this `index` in the group named `first_group`.
    """
    from job_runners.store import groups  # imported here because most jobs have no group
    from job_runners.store.group_members import Reader

    for name, group in groups.named_groups(parent):
        if name < first_group:
            continue
        start = index if name == first_group else 0
        page = Reader(group).page(start, limit - len(children))
        children += [Child(member.key, member.id, member.row, name) for member in page.members]
        if page.next is not None:
            return Page(children, cursors.encode(_MEMBER_CURSOR, f"{page.next}#{name}"))
    return Page(children, None)


def _decode_member_cursor(cursor: str) -> tuple[str, int]:
    """Return the name of a group, and the index of the member with which the next page begins."""
    index, _, group_name = cursors.decode(_MEMBER_CURSOR, cursor).partition("#")
    return group_name, _parse_number(index)


def _parse_number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,6}", text):
        raise InvalidCursor
    return int(text)


def _visible(row: JobRequest | None, parent: JobRequest) -> JobRequest | None:
    """Return the row, unless its id now belongs to a job of another organization."""
    if row is None or row.organization_id != parent.organization_id:
        return None
    return row


def _checked_step_name(key: str) -> str:
    """Return the name of a child's step. Raises InvalidCursor if DynamoDB would refuse it."""
    name = step_name(key)
    if len(name.encode()) > steps.MAX_NAME_BYTES:
        raise InvalidCursor
    return name
