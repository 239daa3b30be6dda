"""Describe the queues for callers: in the HTTP API, the command and the dashboard.

A caller of one organization sees only the slot holders and waiting jobs of that organization, and
only the keys that its jobs have used. `job_runners.store.used_keys` lists them by organization.
In this module, `seen_by` is the caller's organization, or None for a service. A caller that isn't
allowed to see payloads sees no key that may be a payload's value.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from job_runners import clock
from job_runners.engine.control.changing_limits import QueueLimits
from job_runners.engine.errors import QueueNotFound
from job_runners.engine.lines.limits import key_of
from job_runners.engine.registry.registry import registry
from job_runners.errors import InvalidCursor
from job_runners.names import MAX_LENGTH
from job_runners.store import cursors, limits, lines, pauses, used_keys, waiting
from job_runners.store.limits import LimitChange, Limits
from job_runners.store.lines import Line
from job_runners.store.pauses import Kind, Pause
from job_runners.store.waiting import WaitingCount
from job_runners.work.queues import LONGEST_KEY, WHOLE_QUEUE

SHOWN_KEYS = 3  # the number of keys per queue in a list of queues
_MARK = "q"  # marks the cursors of these lists, so that those of other lists are refused
_MAX_EXAMINED_KEYS = 100  # for one page, because most keys may be idle


class Holder(NamedTuple):
    """A job that has a slot. `since` is in milliseconds since 1970."""

    job_id: str
    organization_id: str | None
    since: int | None


class KeyUse(NamedTuple):
    """The jobs of one key of a queue.

    `next_start_at` is when the rate allows another start, in milliseconds since 1970. It is None if
    the rate allows a start now.
    """

    key: str
    holders: tuple[Holder, ...]
    waiting: WaitingCount
    next_start_at: int | None

    @property
    def is_idle(self) -> bool:
        """Return whether no job runs or waits under this key."""
        return not self.holders and not self.waiting.count


class QueueUse(NamedTuple):
    """A queue with some of its keys that are in use. `cursor` is for the next page of keys.

    `pause` is None if the queue isn't paused. `held` describes the jobs that the pause
    holds. It is None if there is no pause, or if the caller isn't allowed to see the jobs.
    """

    limits: QueueLimits
    pause: Pause | None
    held: WaitingCount | None
    keys: list[KeyUse]
    cursor: str | None


# --- list and describe ----------------------------------------------------------------------------


def list_queues(
    seen_by: str | None, *, limit: int, cursor: str | None = None, sees_payloads: bool = True
) -> tuple[list[QueueUse], str | None]:
    """Return queues sorted by name, each with a few keys in use, and a cursor if more follow.

    The queues are those that this code declares, or that its job types use or allow. A service also
    gets queues that are paused or whose limits were changed. Raises InvalidCursor.
    """
    known = _Known.now()
    after = _position_of(cursor, MAX_LENGTH)
    names = [name for name in sorted(known.names(seen_by)) if name > after]
    found = [
        _queue_use(known, name, _Viewer(seen_by, sees_payloads), limit=SHOWN_KEYS)
        for name in names[:limit]
    ]
    return found, cursors.encode(_MARK, names[limit - 1]) if len(names) > limit else None


def describe(
    name: str,
    seen_by: str | None,
    *,
    limit: int,
    cursor: str | None = None,
    sees_payloads: bool = True,
) -> QueueUse:
    """Return a queue with a page of its keys that are in use.

    A page may be short, or even empty, and still have a cursor. Raises InvalidCursor. Raises
    QueueNotFound, also for a queue that the caller isn't allowed to see.
    """
    known = _Known.now()
    if seen_by is not None and name not in known.names(seen_by):
        raise QueueNotFound(name)
    viewer = _Viewer(seen_by, sees_payloads)
    return _queue_use(known, name, viewer, limit=limit, after=_position_of(cursor, LONGEST_KEY))


# --- read -----------------------------------------------------------------------------------------


class _Known(NamedTuple):
    """The changed limits and the pauses, read at the same time."""

    changed: Mapping[str, LimitChange]
    pauses: pauses.Pauses

    @classmethod
    def now(cls) -> "_Known":
        return cls(limits.current(fresh=True), pauses.current(fresh=True))

    def names(self, seen_by: str | None) -> set[str]:
        """Return the names of the queues that the caller is allowed to see."""
        known = registry()
        names = set(known.queues)
        for job in known.jobs.values():
            names |= {job.queue_name, *job.queues}
        if seen_by is not None:
            return names
        paused = {each.name for each in self.pauses.paused() if each.kind is Kind.QUEUE}
        changed = {name for name, each in self.changed.items() if not each.changes_nothing}
        return names | paused | changed

    def limits(self, name: str) -> QueueLimits:
        """Return the limits of a queue."""
        return QueueLimits.of(name, self.changed.get(name))


class _Viewer(NamedTuple):
    """The caller's organization (None for a service), and whether the caller may see payloads."""

    seen_by: str | None
    sees_payloads: bool


def _queue_use(
    known: _Known, name: str, viewer: _Viewer, *, limit: int, after: str = ""
) -> QueueUse:
    queue_limits = known.limits(name)
    pause = known.pauses.find(Kind.QUEUE, name)
    held = waiting.count_under_pause(pause.sk) if pause and viewer.seen_by is None else None
    keys, cursor = _Keys(name, queue_limits.current, viewer).page(limit, after)
    return QueueUse(queue_limits, pause, held, keys, cursor)


class _Keys:
    """The keys of a queue that the caller may see."""

    def __init__(self, name: str, current_limits: Limits | None, viewer: _Viewer) -> None:
        self._name = name
        self._limits = current_limits
        self._seen_by, self._sees_payloads = viewer
        self._per = current_limits.per if current_limits else None

    def page(self, limit: int, after: str) -> tuple[list[KeyUse], str | None]:
        """Return a page of the keys that are in use, and a cursor if more follow."""
        always_shown = self._always_shown()
        found = [] if after else [self._read(key) for key in always_shown]
        max_examined = min(_MAX_EXAMINED_KEYS, 4 * limit)
        keys = self._keys_after(after, max_examined + 1)
        for number, key in enumerate(keys, 1):
            if key not in always_shown:
                use = self._read(key)
                found += [] if use.is_idle else [use]
            if len(found) >= limit or number == max_examined:
                return found, cursors.encode(_MARK, key) if number < len(keys) else None
        return found, None

    def _always_shown(self) -> list[str]:
        """Return the keys that are shown even if they are idle: those known without a read."""
        if self._limits is None:
            return []
        if self._per is None:
            return [WHOLE_QUEUE]
        if self._per == "organization_id" and self._seen_by is not None:
            return [key_of(self._name, self._seen_by, {})]
        return []

    def _keys_after(self, after: str, limit: int) -> list[str]:
        """Return the keys to examine that follow the key `after`.

        They include only keys that the caller is allowed to see. Otherwise a cursor, or the length
        of a page, would reveal other keys.
        """
        if self._seen_by is None:
            return used_keys.used_in_queue(self._name, limit, after)
        if self._per == "organization_id":
            return []
        if self._sees_payloads:
            return used_keys.used_by_organization(self._seen_by, self._name, limit, after)
        return []  # the keys are values of a payload, or were before `per` was changed

    def _read(self, key: str) -> KeyUse:
        line = lines.read_line(self._name, key, self._limits)
        fair = self._limits is not None and self._limits.order == "fair"
        waits = (
            waiting.count_in_line(
                line.partition_key, self._seen_by, self._seen_by if fair else None
            )
            if line.first is not None
            else WaitingCount()
        )
        opens_at = line.opens_at()
        return KeyUse(
            key,
            tuple(self._holders(line)),
            waits,
            opens_at if opens_at > clock.now() else None,
        )

    def _holders(self, line: Line) -> Iterator[Holder]:
        for slot in line.held_slots:
            if self._seen_by in (None, slot.organization_id):
                yield Holder(slot.holder or "", slot.organization_id, slot.since)


def _position_of(cursor: str | None, longest: int) -> str:
    """Return the name or key after which a list continues. Raises InvalidCursor."""
    if cursor is None:
        return ""
    position = cursors.decode(_MARK, cursor)
    if not 0 < len(position) <= longest:  # DynamoDB refuses to query by a key that is too long
        raise InvalidCursor
    return position
