"""Describe queues to callers: their limits, and the jobs that run or wait under their keys.

A queue can limit how many jobs run at a time, for all of its jobs or per *concurrency key* (for
example, per organization). Each running job then holds a *slot* of its key. The jobs that wait for
one key are a *line*.

A caller with an organization sees only that organization's jobs, and only the keys that those jobs
have used (see `job_runners.store.used_keys`). A caller that may not see payloads sees no key that
may be a payload's value. In this module, `seen_by` is the caller's organization. It is None for a
service, which sees all jobs.
"""

from collections.abc import Iterator
from typing import NamedTuple

from job_runners import clock
from job_runners.engine.control.changing_limits import QueueLimits
from job_runners.engine.errors import QueueNotFound
from job_runners.engine.lines.limits import key_of
from job_runners.engine.registry.registry import registry
from job_runners.errors import InvalidCursor
from job_runners.names import MAX_LENGTH
from job_runners.store import cursors, limits, lines, pauses, used_keys, waiting
from job_runners.store.limits import Limits
from job_runners.store.lines import Line
from job_runners.store.pauses import Kind, Pause
from job_runners.store.waiting import WaitingCount
from job_runners.work.queues import MAX_KEY_LENGTH, WHOLE_QUEUE

SHOWN_KEYS = 3  # keys that a list of queues shows for each queue
_CURSOR_TYPE = "q"  # tells these cursors from those of other lists: see job_runners.store.cursors
_MAX_EXAMINED_KEYS = 100  # keys to read for one page, because many keys may be idle


class Holder(NamedTuple):
    """A job that has a slot, and when it got the slot, in milliseconds since 1970."""

    job_id: str
    organization_id: str | None
    since: int | None


class KeyUsage(NamedTuple):
    """The jobs that run or wait under one key of a queue.

    `next_start_at` is when the rate allows another start, in milliseconds since 1970, or None if it
    allows one now. `oldest_id` is the job that has waited longest. It is None in a fair line, where
    organizations take turns.
    """

    key: str
    holders: tuple[Holder, ...]
    waiting: WaitingCount
    next_start_at: int | None
    oldest_id: str | None

    @property
    def is_idle(self) -> bool:
        """Return whether no job runs or waits under this key."""
        return not self.holders and not self.waiting.count


class QueueUsage(NamedTuple):
    """A queue, with a page of its keys that are in use."""

    limits: QueueLimits
    pause: Pause | None  # None if the queue isn't paused
    held: WaitingCount | None  # the jobs that the pause holds; None if the caller may not see them
    keys: list[KeyUsage]
    cursor: str | None  # the cursor of the next page of keys


# --- list and describe ----------------------------------------------------------------------------


def list_queues(
    seen_by: str | None, *, limit: int, cursor: str | None = None, sees_payloads: bool = True
) -> tuple[list[QueueUsage], str | None]:
    """Return queues sorted by name, each with a few keys in use, and a cursor if more follow.

    The queues are those that this code declares, or that its job types use or allow. A service also
    gets queues that are paused or whose limits were changed. Raises InvalidCursor.
    """
    view = _View(seen_by, sees_payloads)
    last_shown = _decode(cursor, MAX_LENGTH)
    names = [name for name in sorted(view.queue_names()) if name > last_shown]
    page = [view.usage(name, limit=SHOWN_KEYS) for name in names[:limit]]
    if len(names) <= limit:
        return page, None
    return page, cursors.encode(_CURSOR_TYPE, names[limit - 1])


def describe(
    name: str,
    seen_by: str | None,
    *,
    limit: int,
    cursor: str | None = None,
    sees_payloads: bool = True,
) -> QueueUsage:
    """Return a queue, with a page of its keys that are in use.

    A page may be short, or even empty, and still have a cursor. Raises InvalidCursor, and
    QueueNotFound if there is no such queue or the caller isn't allowed to see it.
    """
    view = _View(seen_by, sees_payloads)
    if seen_by is not None and name not in view.queue_names():
        raise QueueNotFound(name)
    return view.usage(name, limit=limit, last_shown=_decode(cursor, MAX_KEY_LENGTH))


# --- read -----------------------------------------------------------------------------------------


class _View:
    """The queues as a caller may see them, with the current limits and pauses."""

    def __init__(self, seen_by: str | None, sees_payloads: bool) -> None:
        self._seen_by = seen_by
        self._sees_payloads = sees_payloads
        self._limit_changes = limits.current(fresh=True)
        self._pauses = pauses.current(fresh=True)

    def queue_names(self) -> set[str]:
        """Return the names of the queues that the caller is allowed to see."""
        code = registry()
        names = set(code.queues)
        for job in code.jobs.values():
            names |= {job.queue_name, *job.queues}
        if self._seen_by is not None:
            return names
        paused = {pause.name for pause in self._pauses.paused() if pause.kind is Kind.QUEUE}
        changes = self._limit_changes.items()
        limited = {name for name, change in changes if not change.changes_nothing}
        return names | paused | limited

    def usage(self, name: str, *, limit: int, last_shown: str = "") -> QueueUsage:
        """Return a queue, with the page of its keys in use that begins after `last_shown`."""
        queue_limits = QueueLimits.of(name, self._limit_changes.get(name))
        pause = self._pauses.find(Kind.QUEUE, name)
        held = waiting.count_under_pause(pause.sk) if pause and self._seen_by is None else None
        keys = _Keys(name, queue_limits.current, self._seen_by, self._sees_payloads)
        page, cursor = keys.page(limit, last_shown)
        return QueueUsage(queue_limits, pause, held, page, cursor)


class _Keys:
    """The keys of a queue that the caller may see."""

    def __init__(
        self, name: str, current_limits: Limits | None, seen_by: str | None, sees_payloads: bool
    ) -> None:
        self._name = name
        self._limits = current_limits
        self._seen_by = seen_by
        self._sees_payloads = sees_payloads
        self._per = current_limits.per if current_limits else None

    def page(self, limit: int, last_shown: str) -> tuple[list[KeyUsage], str | None]:
        """Return a page of the keys that are in use, and a cursor if more follow.

        The first page begins with the keys that are always shown. The page ends when it has `limit`
        keys, or after reading `max_examined` keys, because many of them may be idle.
        """
        always_shown = self._always_shown()
        page = [] if last_shown else [self._read(key) for key in always_shown]
        max_examined = min(_MAX_EXAMINED_KEYS, 4 * limit)
        keys = self._keys_after(last_shown, max_examined + 1)
        for examined, key in enumerate(keys, 1):
            if key not in always_shown:
                usage = self._read(key)
                if not usage.is_idle:
                    page.append(usage)
            if len(page) >= limit or examined == max_examined:
                has_more = examined < len(keys)
                return page, cursors.encode(_CURSOR_TYPE, key) if has_more else None
        return page, None

    def _always_shown(self) -> list[str]:
        """Return the keys to show even if they are idle, because `used_keys` doesn't have them."""
        if self._limits is None:
            return []
        if self._per is None:
            return [WHOLE_QUEUE]
        if self._per == "organization_id" and self._seen_by is not None:
            return [key_of(self._name, self._seen_by, {})]
        return []

    def _keys_after(self, last_shown: str, limit: int) -> list[str]:
        """Return the next keys to examine.

        The caller may see all of them. Otherwise a cursor, or the length of a page, would reveal
        other keys.
        """
        if self._seen_by is None:
            return used_keys.used_in_queue(self._name, limit, last_shown)
        if self._per == "organization_id":
            return []  # the caller may see only its own key, which is always shown
        if self._sees_payloads:
            return used_keys.used_by_organization(self._seen_by, self._name, limit, last_shown)
        return []  # the keys may be payload values, perhaps from before `per` was changed

    def _read(self, key: str) -> KeyUsage:
        """Return the part of a key's usage that the caller may see."""
        line = lines.read_line(self._name, key, self._limits)
        is_fair = self._limits is not None and self._limits.order == "fair"
        waiting_count = WaitingCount()
        oldest_id = None
        first = line.first
        if first is not None:
            group = self._seen_by if is_fair else None
            waiting_count = waiting.count_in_line(line.partition_key, self._seen_by, group)
            if not is_fair and self._may_see(first.organization_id):
                oldest_id = first.job_id
        opens_at = line.next_admission_at()
        next_start_at = opens_at if opens_at > clock.now() else None
        return KeyUsage(key, tuple(self._holders(line)), waiting_count, next_start_at, oldest_id)

    def _holders(self, line: Line) -> Iterator[Holder]:
        """Yield the slot holders that the caller may see."""
        for slot in line.held_slots:
            if self._may_see(slot.organization_id):
                yield Holder(slot.holder or "", slot.organization_id, slot.since)

    def _may_see(self, organization_id: str | None) -> bool:
        """Return whether the caller may see jobs of an organization. A service sees all jobs."""
        return self._seen_by is None or organization_id == self._seen_by


def _decode(cursor: str | None, max_length: int) -> str:
    """Return the name or key after which a list continues. Raises InvalidCursor."""
    if cursor is None:
        return ""
    last_shown = cursors.decode(_CURSOR_TYPE, cursor)
    if not 0 < len(last_shown) <= max_length:  # DynamoDB refuses a query by a longer key
        raise InvalidCursor
    return last_shown
