"""Which job types and queues are paused, and which jobs each pause has parked.

All of it is in the coordination table. What a pause parks is listed here in the order it was
created, so that it can go on in that order. A job's row and its entry here change together. Only
when an owner cancels a parked job does its entry stay behind: the row is right, and whoever comes
to the entry drops it.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import NamedTuple

from pynamodb.attributes import UnicodeAttribute
from pynamodb.exceptions import DeleteError

import clock
from aws.errors import condition_failed
from store.job_request import JobRequest, job_id_of
from store.table import Enumerated, Integer, Table, nullable

# How long a process goes by what it has read: a pause takes effect everywhere after this time.
CACHED = 10 * clock.SECOND
_FLAGS = "paused"
# An entry that is still there after this time is of a job that has been given up long since.
_ENTRY_LIFETIME = 40 * clock.DAY


class Kind(StrEnum):
    """What can be paused."""

    JOB_TYPE = "job_type"
    QUEUE = "queue"


class State(StrEnum):
    """How far a pause is."""

    PAUSED = "paused"  # nothing of it starts
    RESUMING = "resuming"  # it has ended: what it has parked is admitted, in order


class Pause(Table):
    """A job type or a queue that is paused, or was until a moment ago."""

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "COORDINATION_TABLE_NAME"

    pk = UnicodeAttribute(hash_key=True, default=_FLAGS)
    sk = UnicodeAttribute(range_key=True)  # kind and name
    state = Enumerated(State)
    changed_at = Integer()
    changed_by = nullable(UnicodeAttribute())  # who did, as "role:name"

    @property
    def kind(self) -> Kind:
        """Return what is paused: a job type or a queue."""
        return Kind(self.sk.partition("#")[0])

    @property
    def name(self) -> str:
        """Return the name of the job type or queue."""
        return self.sk.partition("#")[2]


class Parked(Table):
    """A job that a pause has parked; it may still be here if its owner has cancelled it since."""

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "COORDINATION_TABLE_NAME"

    pk = UnicodeAttribute(hash_key=True)  # the pause
    sk = UnicodeAttribute(range_key=True)  # the job's created_key
    since = Integer()  # the row's waiting_since
    organization_id = nullable(UnicodeAttribute())  # of the job; entries of 0.2.0 have none
    expires_at = Integer()  # in seconds, for TTL

    @property
    def job_id(self) -> str:
        """Return the id of the job."""
        return job_id_of(self.sk)


class Pauses(NamedTuple):
    """Every pause there is, as read at one time."""

    all: tuple[Pause, ...] = ()

    def may_park(self, job_type: str) -> bool:
        """Return whether a job of this type may have to wait: its queue is known only from its
        row."""
        return any(pause.kind is Kind.QUEUE or pause.name == job_type for pause in self.paused())

    def on(self, job: JobRequest) -> Pause | None:
        """Return the pause that this job has to wait for, if there is one."""
        ours = {_key(Kind.JOB_TYPE, job.job_type), _key(Kind.QUEUE, job.queue_name)}
        return next((pause for pause in self.paused() if pause.sk in ours), None)

    def find(self, kind: Kind, name: str) -> Pause | None:
        """Return the pause of this job type or queue, if it is paused."""
        return next((pause for pause in self.paused() if pause.sk == _key(kind, name)), None)

    def resuming(self) -> Iterator[Pause]:
        """Return the pauses that have ended, and may still have jobs parked."""
        return self._in_state(State.RESUMING)

    def paused(self) -> Iterator[Pause]:
        """Return the pauses that have not ended."""
        return self._in_state(State.PAUSED)

    def _in_state(self, state: State) -> Iterator[Pause]:
        return (pause for pause in self.all if pause.state is state)


def current(*, fresh: bool = False) -> Pauses:
    """Return every pause, as it was at most CACHED ago, or as it is now if `fresh`."""
    now = clock.now()
    if fresh or not 0 <= now - _cache.read_at < CACHED:
        _cache.pauses = Pauses(tuple(Pause.query(_FLAGS, consistent_read=True)))
        _cache.read_at = now
    return _cache.pauses


def pause_on(job: JobRequest) -> Pause | None:
    """Return the pause that this job has to wait for now, if there is one.

    A pause that the cache still has is read again: it may have ended a moment ago.
    """
    return current().on(job) and current(fresh=True).on(job)


def pause(kind: Kind, name: str, *, by: str | None = None) -> Pause:
    """Pause a job type or a queue."""
    return _set(kind, name, State.PAUSED, by)


def resume(kind: Kind, name: str, *, by: str | None = None) -> Pause:
    """End a pause: from now on, what it has parked is to be admitted."""
    return _set(kind, name, State.RESUMING, by)


def forget(ended: Pause) -> None:
    """Delete a pause that has ended and has nothing parked, unless somebody has changed it since it
    was read."""
    with _unless_changed():
        ended.delete((Pause.state == State.RESUMING) & (Pause.changed_at == ended.changed_at))
    _cache.read_at = 0


def parked_entry(paused: str, job: JobRequest, since: int) -> Parked:
    """Return the entry of a job under the pause that parks it."""
    expires_at = (clock.now() + _ENTRY_LIFETIME) // clock.SECOND
    return Parked(
        f"held#{paused}",
        job.created_key,
        since=since,
        organization_id=job.organization_id,
        expires_at=expires_at,
    )


def parked_by(paused: Pause, most: int) -> Iterable[Parked]:
    """Return the jobs that a pause has parked, oldest first."""
    return Parked.query(f"held#{paused.sk}", consistent_read=True, limit=most)


def drop(entry: Parked) -> None:
    """Delete the entry of a job that no longer waits, unless the job has been parked again."""
    with _unless_changed():
        entry.delete(Parked.since == entry.since)


@contextmanager
def _unless_changed() -> Iterator[None]:
    try:
        yield
    except DeleteError as error:
        if not condition_failed(error):
            raise


def forget_cache() -> None:
    """Read the pauses again at the next call: for tests."""
    _cache.read_at = 0


class _Cache:
    pauses = Pauses()
    read_at = 0


_cache = _Cache()


def _set(kind: Kind, name: str, state: State, by: str | None) -> Pause:
    changed = Pause(sk=_key(kind, name), state=state, changed_at=clock.now(), changed_by=by)
    changed.save()
    _cache.read_at = 0
    return changed


def _key(kind: Kind, name: str) -> str:
    return f"{kind}#{name}"
