"""The brake: which job types and queues are paused, and which jobs each of them holds back.

All of it is in the coordination table. What is held back is listed here in the order it was
created, so that it can go on in that order. A job's row and its entry here change together, but for
an owner who cancels: then the row says what is so, and the entry is dropped when it is met.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from pynamodb.attributes import UnicodeAttribute
from pynamodb.exceptions import DeleteError

import clock
from aws.errors import condition_failed
from store.job_request import JobRequest
from store.table import Enumerated, Integer, Table, nullable

# How long a process goes by what it has read: a pause takes effect everywhere after this time.
CACHED = 10 * clock.SECOND
_FLAGS = "paused"
# An entry that nobody has met after this time is of a job that has been given up long since.
_ENTRY_LIFETIME = 40 * clock.DAY


class Kind(StrEnum):
    """What can be paused."""

    JOB_TYPE = "job_type"
    QUEUE = "queue"


class State(StrEnum):
    """Where a brake is."""

    PAUSED = "paused"  # nothing of it starts
    RESUMING = "resuming"  # what was held back is let go, in order


class Brake(Table):
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
        """What is paused: a job type or a queue."""
        return Kind(self.sk.partition("#")[0])

    @property
    def name(self) -> str:
        """Which one."""
        return self.sk.partition("#")[2]


class Held(Table):
    """A job that a brake holds back, or did until its owner cancelled it."""

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "COORDINATION_TABLE_NAME"

    pk = UnicodeAttribute(hash_key=True)  # the brake
    sk = UnicodeAttribute(range_key=True)  # the job's created_key
    since = Integer()  # the row's waiting_since
    expires_at = Integer()  # in seconds, for TTL

    @property
    def job_id(self) -> str:
        """Whose entry it is."""
        return self.sk[15:]


@dataclass(frozen=True)
class Brakes:
    """Every brake there is, as read at one time."""

    all: tuple[Brake, ...] = ()

    def may_hold(self, job_type: str) -> bool:
        """Whether a job of this type may have to wait. Its queue is known from its row alone."""
        return any(
            brake.kind is Kind.QUEUE or brake.name == job_type for brake in self._on(State.PAUSED)
        )

    def on(self, job: JobRequest) -> Brake | None:
        """The brake that holds this job back, if one does."""
        ours = {_key(Kind.JOB_TYPE, job.job_type), _key(Kind.QUEUE, job.queue_name)}
        return next((brake for brake in self._on(State.PAUSED) if brake.sk in ours), None)

    def find(self, kind: Kind, name: str) -> Brake | None:
        """The brake on this job type or queue, if it is on."""
        return next((brake for brake in self.paused() if brake.sk == _key(kind, name)), None)

    def resuming(self) -> Iterator[Brake]:
        """The brakes that were released, and may still hold jobs."""
        return self._on(State.RESUMING)

    def paused(self) -> Iterator[Brake]:
        """The brakes that are on."""
        return self._on(State.PAUSED)

    def _on(self, state: State) -> Iterator[Brake]:
        return (brake for brake in self.all if brake.state is state)


def brakes(*, fresh: bool = False) -> Brakes:
    """Every brake, as of at most CACHED ago, or as of now."""
    now = clock.now()
    if fresh or not 0 <= now - _cache.read_at < CACHED:
        _cache.brakes = Brakes(tuple(Brake.query(_FLAGS, consistent_read=True)))
        _cache.read_at = now
    return _cache.brakes


def brake_on(job: JobRequest) -> Brake | None:
    """The brake that holds this job back now, if one does: none is taken for on that was released
    a moment ago."""
    return brakes().on(job) and brakes(fresh=True).on(job)


def pause(kind: Kind, name: str, *, by: str | None = None) -> Brake:
    """Put a brake on."""
    return _set(kind, name, State.PAUSED, by)


def release(kind: Kind, name: str, *, by: str | None = None) -> Brake:
    """Let a brake go: what it holds back is to be let go."""
    return _set(kind, name, State.RESUMING, by)


def forget(brake: Brake) -> None:
    """Nothing is left of a released brake; unless somebody has changed it since it was read."""
    with _unless_changed():
        brake.delete((Brake.state == State.RESUMING) & (Brake.changed_at == brake.changed_at))
    _cache.read_at = 0


def held(brake: str, job: JobRequest, since: int) -> Held:
    """The entry of a job that a brake holds back."""
    expires_at = (clock.now() + _ENTRY_LIFETIME) // clock.SECOND
    return Held(f"held#{brake}", job.created_key, since=since, expires_at=expires_at)


def held_by(brake: Brake, most: int) -> Iterable[Held]:
    """The jobs that a brake holds back, the oldest first."""
    return Held.query(f"held#{brake.sk}", consistent_read=True, limit=most)


def drop(entry: Held) -> None:
    """An entry of a job that no longer waits; unless it has come to wait again."""
    with _unless_changed():
        entry.delete(Held.since == entry.since)


@contextmanager
def _unless_changed() -> Iterator[None]:
    try:
        yield
    except DeleteError as error:
        if not condition_failed(error):
            raise


def forget_cache() -> None:
    """Read the brakes again at the next call: for tests."""
    _cache.read_at = 0


class _Cache:
    brakes = Brakes()
    read_at = 0


_cache = _Cache()


def _set(kind: Kind, name: str, state: State, by: str | None) -> Brake:
    brake = Brake(sk=_key(kind, name), state=state, changed_at=clock.now(), changed_by=by)
    brake.save()
    _cache.read_at = 0
    return brake


def _key(kind: Kind, name: str) -> str:
    return f"{kind}#{name}"
