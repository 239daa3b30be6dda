"""The queues as people see them: over HTTP, in the `jobs` command and on the page.

A caller of one organization sees what belongs to it: its jobs among those that hold a slot or wait,
and the keys that its own jobs have used, from a list of their own (see `store.used_keys`). The
functions take the organization as `seen_by`, which is None for a service. A caller that may not see
payloads sees no key that may be a value of one.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import clock
from errors import InvalidCursor, QueueNotFound
from names import LONGEST
from runners.changing_limits import QueueLimits
from runners.limits import key_of
from runners.registry import registry
from store import cursors, limits, lines, pauses, used_keys, waiting
from store.limits import Changed, Limits
from store.lines import Line
from store.pauses import Kind, Pause
from store.waiting import Waiting
from work.queues import LONGEST_KEY, WHOLE_QUEUE

SHOWN_KEYS = 3  # of each queue in a list of queues
_MARK = "q"  # of the cursors of queues, and of their keys
_EXAMINED_KEYS = 100  # in one page: most keys may be idle


class Holder(NamedTuple):
    """A job that has a slot, since when, in milliseconds since 1970."""

    job_id: str
    organization_id: str | None
    since: int | None


class KeyUse(NamedTuple):
    """How a key of a queue is used. `next_start_at` is when its rate allows another start, in
    milliseconds since 1970; None if that is now."""

    key: str
    holders: tuple[Holder, ...]
    waiting: Waiting
    next_start_at: int | None

    @property
    def is_idle(self) -> bool:
        """Return whether no job is in it."""
        return not self.holders and not self.waiting.count


class QueueUse(NamedTuple):
    """A queue, and some of its keys that are in use; `cursor` asks for those that follow.

    `paused` is the pause of the queue, and `held_back` who waits for its end: None for those who
    may not know.
    """

    limits: QueueLimits
    paused: Pause | None
    held_back: Waiting | None
    keys: list[KeyUse]
    cursor: str | None


# --- look -----------------------------------------------------------------------------------------


def list_queues(
    seen_by: str | None, *, limit: int, cursor: str | None = None, sees_payloads: bool = True
) -> tuple[list[QueueUse], str | None]:
    """Return queues by name, each with its first keys in use, and the cursor for those that follow.

    They are those of this code's job types and declarations; for a service also those that are
    paused or whose limits were changed. Raises InvalidCursor.
    """
    known = _Known.now()
    after = _position_of(cursor, LONGEST)
    names = [name for name in sorted(known.names(seen_by)) if name > after]
    found = [
        _use(known, name, _Sight(seen_by, sees_payloads), limit=SHOWN_KEYS)
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
    """Return a queue with a page of its keys that are in use. A page may be short, even empty, and
    have a cursor all the same. Raises QueueNotFound, also for a queue of whose name the caller may
    not know, and InvalidCursor."""
    known = _Known.now()
    if seen_by is not None and name not in known.names(seen_by):
        raise QueueNotFound(name)
    sight = _Sight(seen_by, sees_payloads)
    return _use(known, name, sight, limit=limit, after=_position_of(cursor, LONGEST_KEY))


# --- what is known of queues ----------------------------------------------------------------------


class _Known(NamedTuple):
    """What was changed and paused, as read at one time."""

    changed: Mapping[str, Changed]
    pauses: pauses.Pauses

    @classmethod
    def now(cls) -> "_Known":
        return cls(limits.current(fresh=True), pauses.current(fresh=True))

    def names(self, seen_by: str | None) -> set[str]:
        """Return the queues that there are, as far as the caller may know of them."""
        known = registry()
        names = {job.queue_name for job in known.jobs.values()} | set(known.queues)
        if seen_by is not None:
            return names
        paused = {each.name for each in self.pauses.paused() if each.kind is Kind.QUEUE}
        changed = {name for name, each in self.changed.items() if not each.changes_nothing}
        return names | paused | changed

    def limits(self, name: str) -> QueueLimits:
        """Return what limits a queue."""
        return QueueLimits.of(name, self.changed.get(name))


class _Sight(NamedTuple):
    """Who looks: for which organisation, None for a service, and whether at payloads too."""

    seen_by: str | None
    sees_payloads: bool


def _use(known: _Known, name: str, sight: _Sight, *, limit: int, after: str = "") -> QueueUse:
    its_limits = known.limits(name)
    paused = known.pauses.find(Kind.QUEUE, name)
    held_back = waiting.under_pause(paused.sk) if paused and sight.seen_by is None else None
    keys, cursor = _Keys(name, its_limits.in_force, sight).page(limit, after)
    return QueueUse(its_limits, paused, held_back, keys, cursor)


class _Keys:
    """The keys of a queue, as far as the caller may see them."""

    def __init__(self, name: str, in_force: Limits | None, sight: _Sight) -> None:
        self._name = name
        self._limits = in_force
        self._seen_by, self._sees_payloads = sight
        self._per = in_force.per if in_force else None

    def page(self, limit: int, after: str) -> tuple[list[KeyUse], str | None]:
        """Return a page of those that are in use, and the cursor for those that follow."""
        always = self._always()
        found = [] if after else [self._read(key) for key in always]
        most = min(_EXAMINED_KEYS, 4 * limit)
        keys = self._listed(after, most + 1)
        for number, key in enumerate(keys, 1):
            if key not in always:
                use = self._read(key)
                found += [] if use.is_idle else [use]
            if len(found) >= limit or number == most:
                return found, cursors.encode(_MARK, key) if number < len(keys) else None
        return found, None

    def _always(self) -> list[str]:
        """Return the keys that are shown though no job is in them: those that are known without
        being listed."""
        if self._limits is None:
            return []
        if self._per is None:
            return [WHOLE_QUEUE]
        if self._per == "organization_id" and self._seen_by is not None:
            return [key_of(self._name, self._seen_by, None, {})]
        return []

    def _listed(self, after: str, most: int) -> list[str]:
        """Return the keys to look at that follow another.

        All of them are the caller's to know: a cursor can be read, and how far a page comes can be
        seen.
        """
        if self._seen_by is None:
            return used_keys.used(self._name, most, after)
        if self._per == "organization_id":
            return []
        if self._sees_payloads:
            return used_keys.used_by(self._seen_by, self._name, most, after)
        if self._per != "campaign_id":
            return []  # they are values of a payload, or were until `per` was changed
        campaigns = key_of(self._name, self._seen_by, None, {})
        return used_keys.used_by(self._seen_by, self._name, most, after, campaigns)

    def _read(self, key: str) -> KeyUse:
        line = lines.read_line(self._name, key, self._limits)
        fair = self._limits is not None and self._limits.order == "fair"
        waits = (
            waiting.in_line(line.place, self._seen_by, self._seen_by if fair else None)
            if line.first is not None
            else Waiting()
        )
        opens_at = line.opens_at()
        return KeyUse(
            key,
            tuple(self._holders(line)),
            waits,
            opens_at if opens_at > clock.now() else None,
        )

    def _holders(self, line: Line) -> Iterator[Holder]:
        for slot in line.held:
            if self._seen_by in (None, slot.organization_id):
                yield Holder(slot.holder or "", slot.organization_id, slot.since)


def _position_of(cursor: str | None, longest: int) -> str:
    """Return the name or key behind which a list goes on. Raises InvalidCursor."""
    if cursor is None:
        return ""
    position = cursors.decode(_MARK, cursor)
    if not 0 < len(position) <= longest:  # DynamoDB refuses a range of longer keys than it stores
        raise InvalidCursor
    return position
