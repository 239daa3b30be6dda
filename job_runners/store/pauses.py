"""The paused job types and queues, and the jobs that each pause holds.

The coordination table has an item for each pause, and an entry for each job that the pause holds.
The entries are sorted by the jobs' times of creation, so that the jobs continue in this order. A
job's row and its entry change in one transaction. If a process nevertheless finds an entry of a job
that doesn't wait for the pause, it deletes the entry.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from pynamodb.attributes import UnicodeAttribute

from job_runners import caches, clock
from job_runners.aws.errors import try_write
from job_runners.store.job_request import JobRequest, job_id_of
from job_runners.store.table import CoordinationItem, Enumerated, Integer, nullable

# Each process reads the pauses again after this time, so by then a pause applies everywhere.
CACHE_TIME = 10 * clock.SECOND
_PAUSES_KEY = "paused"  # the partition key of all pauses
# The timer function fails a job that has waited this long, so its entry is no longer needed.
_ENTRY_LIFETIME = 40 * clock.DAY


class Kind(StrEnum):
    """What a pause applies to."""

    JOB_TYPE = "job_type"
    QUEUE = "queue"


class State(StrEnum):
    """The state of a pause."""

    PAUSED = "paused"  # jobs of the type or queue don't start
    RESUMING = "resuming"  # the pause has ended, and the jobs that it held are admitted in order


class Pause(CoordinationItem):
    """A job type or queue that is paused, or whose pause has just ended."""

    how_erased = "not at all: it belongs to the stack"

    pk = UnicodeAttribute(hash_key=True, default=_PAUSES_KEY)
    sk = UnicodeAttribute(range_key=True)  # "<kind>#<name>"
    state = Enumerated(State)
    changed_at = Integer()
    changed_by = nullable(UnicodeAttribute())  # as "role:name"

    @property
    def kind(self) -> Kind:
        """Return whether a job type or a queue is paused."""
        return Kind(self.sk.partition("#")[0])

    @property
    def name(self) -> str:
        """Return the name of the job type or queue."""
        return self.sk.partition("#")[2]


class HeldEntry(CoordinationItem):
    """The entry of a job that a pause holds."""

    how_erased = "not at all: only an unfinished job has one"

    pk = UnicodeAttribute(hash_key=True)  # the pause
    sk = UnicodeAttribute(range_key=True)  # the job's created_key
    since = Integer()  # the `waiting_since` of the job's row
    organization_id = nullable(UnicodeAttribute())  # the job's organization
    expires_at = Integer()  # in seconds, for TTL

    @property
    def job_id(self) -> str:
        """Return the id of the held job."""
        return job_id_of(self.sk)


class Pauses(NamedTuple):
    """All pauses at one time."""

    all: tuple[Pause, ...] = ()

    def may_hold(self, job_type: str) -> bool:
        """Return whether a pause may apply to a job of this type, whose queue isn't known yet.

        A pause of any queue may apply.
        """
        return any(pause.kind is Kind.QUEUE or pause.name == job_type for pause in self.paused())

    def on(self, job: JobRequest) -> Pause | None:
        """Return a pause of this job's type or queue, or None if neither is paused."""
        sort_keys = {
            _sort_key(Kind.JOB_TYPE, job.job_type),
            _sort_key(Kind.QUEUE, job.queue_name),
        }
        return next((pause for pause in self.paused() if pause.sk in sort_keys), None)

    def find(self, kind: Kind, name: str) -> Pause | None:
        """Return the pause of this job type or queue, or None if it isn't paused."""
        sort_key = _sort_key(kind, name)
        return next((pause for pause in self.paused() if pause.sk == sort_key), None)

    def resuming(self) -> Iterator[Pause]:
        """Return the pauses that have ended, but may still hold jobs."""
        return self._in_state(State.RESUMING)

    def paused(self) -> Iterator[Pause]:
        """Return the pauses that haven't ended."""
        return self._in_state(State.PAUSED)

    def _in_state(self, state: State) -> Iterator[Pause]:
        return (pause for pause in self.all if pause.state is state)


def current(*, fresh: bool = False) -> Pauses:
    """Return all pauses. They are at most CACHE_TIME old, or new with `fresh=True`."""
    now = clock.now()
    if fresh or not 0 <= now - _cache.read_at < CACHE_TIME:
        _cache.pauses = Pauses(tuple(Pause.query(_PAUSES_KEY, consistent_read=True)))
        _cache.read_at = now
    return _cache.pauses


def pause_on(job: JobRequest) -> Pause | None:
    """Return a pause that applies to this job now, or None.

    If a cached pause applies, read the pauses again, because it may have just ended.
    """
    if current().on(job) is None:
        return None
    return current(fresh=True).on(job)


def pause(kind: Kind, name: str, *, by: str | None = None) -> Pause:
    """Pause a job type or a queue."""
    return _set(kind, name, State.PAUSED, by)


def resume(kind: Kind, name: str, *, by: str | None = None) -> Pause:
    """End a pause. From now on, the jobs that it holds may be admitted."""
    return _set(kind, name, State.RESUMING, by)


def forget(ended: Pause) -> None:
    """Delete an ended pause that holds no more jobs, unless it has changed since it was read."""
    is_unchanged = (Pause.state == State.RESUMING) & (Pause.changed_at == ended.changed_at)
    try_write(lambda: ended.delete(is_unchanged))
    _cache.read_at = 0


def held_entry(pause_sk: str, job: JobRequest, since: int) -> HeldEntry:
    """Return a job's entry under the pause with this sort key, for a write of that entry."""
    return HeldEntry(
        f"held#{pause_sk}",
        job.created_key,
        since=since,
        organization_id=job.organization_id,
        expires_at=clock.expiry(_ENTRY_LIFETIME),
    )


def held_entries(pause: Pause, limit: int) -> Iterable[HeldEntry]:
    """Return the first `limit` entries of the jobs that a pause holds, oldest job first."""
    return HeldEntry.query(f"held#{pause.sk}", consistent_read=True, limit=limit)


def drop(entry: HeldEntry) -> None:
    """Delete the entry of a job that no longer waits, unless a newer one has replaced it."""
    try_write(lambda: entry.delete(HeldEntry.since == entry.since))


@caches.register
def _clear_cache() -> None:
    _cache.read_at = 0


class _Cache:
    pauses = Pauses()
    read_at = 0


_cache = _Cache()


def _set(kind: Kind, name: str, state: State, by: str | None) -> Pause:
    new_pause = Pause(sk=_sort_key(kind, name), state=state, changed_at=clock.now(), changed_by=by)
    new_pause.save()
    _cache.read_at = 0
    return new_pause


def _sort_key(kind: Kind, name: str) -> str:
    return f"{kind}#{name}"
