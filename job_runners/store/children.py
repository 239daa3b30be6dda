"""The children of a job: the jobs that it has dispatched.

Each child is recorded as one of the job's steps (see `RunningJob.dispatch`). So recording a child
takes no other write, and finding the children takes no scan and no index. The members of the job's
groups are its children too.
"""

import re
from typing import NamedTuple

from job_runners.errors import InvalidCursor
from job_runners.store import cursors, steps
from job_runners.store.job_request import JobRequest
from job_runners.store.queries import read_many

PREFIX = "child "  # the prefix of the name of a step that dispatches a child
_IN_GROUP = "\0"  # the prefix of a position in a group
_COUNTED = "\1"  # the prefix of a position that is a number of children
_MOST = 1_000_000  # children of a job


def step_name(key: str) -> str:
    """Return the name of the step that dispatches the child with this key."""
    return f"{PREFIX}{key}"


class Child(NamedTuple):
    """A job that another job has dispatched under a key. `row` is None if the job is gone. `group`
    is the group that it is in."""

    key: str
    id: str
    row: JobRequest | None
    group: str | None = None


class Page(NamedTuple):
    """Some of a job's children: first those in no group, by key, and then the members of each
    group. Pass `cursor` to get the next page."""

    children: list[Child]
    cursor: str | None


def page(
    parent: JobRequest, *, limit: int, cursor: str | None = None, hides_keys: bool = False
) -> Page:
    """Return a page of a job's children. Raises InvalidCursor.

    Without groups, that takes one Query and at most one BatchGetItem. With `hides_keys`, neither
    the cursor nor the order of the children depends on their keys, with any limit. Each page then
    reads the records of all children, and lists the children in the order of their ids.
    """
    if cursor and cursors.decode("", cursor).startswith(_IN_GROUP):
        return _with_members(parent, [], limit, *_in_group(cursor))
    start = 0
    if hides_keys:
        start = _number(cursors.decode(_COUNTED, cursor)) if cursor else 0
        found = steps.with_prefix(parent, PREFIX, after=None, limit=_MOST)
        found = sorted(found, key=lambda step: str(step.result))[start : start + limit + 1]
    else:
        after = _step_name_of(cursors.decode(PREFIX, cursor)) if cursor else None
        found = steps.with_prefix(parent, PREFIX, after=after, limit=limit + 1)
    ids = {step.sk.removeprefix(PREFIX): str(step.result) for step in found[:limit]}
    # Consistent, because a child that was dispatched a moment ago isn't gone.
    rows = read_many(ids.values(), fresh=True)
    children = [Child(key, each, _shown(rows.get(each), parent)) for key, each in ids.items()]
    if len(found) > limit:
        position = (_COUNTED, str(start + limit)) if hides_keys else (PREFIX, children[-1].key)
        return Page(children, cursors.encode(*position))
    return (
        Page(children, None)
        if parent.last_group_id is None
        else _with_members(parent, children, limit)
    )


def _with_members(
    parent: JobRequest, found: list[Child], limit: int, first: str = "", index: int = 0
) -> Page:
    """Return a page of these children and the members of groups, from a member of the group
    `first` on."""
    from job_runners.store import groups  # imported here because most jobs have no group
    from job_runners.store.group_members import Reader

    for name, group in groups.named_groups(parent):
        if name < first:
            continue
        start = index if name == first else 0
        page = Reader(group).page(start, limit - len(found))
        found += [Child(each.key, each.id, each.row, name) for each in page.members]
        if page.next is not None:
            return Page(found, _group_cursor(name, page.next))
    return Page(found, None)


def _group_cursor(name: str, index: int) -> str:
    return cursors.encode(_IN_GROUP, f"{index}#{name}")


def _in_group(cursor: str) -> tuple[str, int]:
    """Return the group and the index at which the next page begins."""
    index, _, name = cursors.decode(_IN_GROUP, cursor).partition("#")
    return name, _number(index)


def _number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,6}", text):
        raise InvalidCursor
    return int(text)


def _shown(row: JobRequest | None, parent: JobRequest) -> JobRequest | None:
    gone = row is None or row.organization_id != parent.organization_id
    return None if gone else row


def _step_name_of(key: str) -> str:
    """Return the name of the step after which the next page begins."""
    name = step_name(key)
    if len(name.encode()) > steps.MAX_NAME_BYTES:
        raise InvalidCursor
    return name
