"""Schedules: what an organisation has done again and again, and how far each of them has come.

A schedule is one item of the coordination table, among its organisation's. Until it is paused it is
in the index `due`, by the time at which the timer has to look at it; so a tick reads only what is
due, however many schedules there are. The index is spread over shards: 10,000 of one minute would
throttle a single one.

Every write asks that the item is as it was read, by its `revision`, and gives it another. The
occurrence that was dealt with last, `last_at`, only moves forward.

A schedule that is deleted leaves a stub, without what it was asked to do: if it is put again, by a
machine whose clock is behind perhaps, it does not go through the same occurrences once more, nor
overlap the job of before.
"""

import base64
import json
import zlib
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple
from zlib import crc32

from pynamodb.exceptions import UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action
from pynamodb.indexes import GlobalSecondaryIndex, KeysOnlyProjection

import clock
import names
from aws.errors import condition_failed
from errors import InvalidCursor
from store.attributes import BinaryAttribute, BooleanAttribute, JSONAttribute, UnicodeAttribute
from store.blobs import compact_json
from store.conditional_write import Also, retry_on_conflict
from store.job_request import derived_id, new_id
from store.schedule_marks import PARTITION
from store.table import Integer, Table, nullable, set_or_remove

VERSION = 1  # the highest that this code knows: newer code may mean something else by an item
SHARDS = 8  # may grow, never shrink: items keep the shard that their name gives them
LARGEST_PAYLOAD = 4 * 1024  # bytes, compressed: every occurrence reads and writes the whole item
_STUB_LIFETIME = 40 * clock.DAY

Origin = Literal["code", "api"]


class DueSchedules(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """Schedules by the time at which the timer has to look at them. Sparse: paused ones, and those
    that never come again, are not in it."""

    class Meta:
        index_name = "due"
        projection = KeysOnlyProjection()

    due_shard = UnicodeAttribute(hash_key=True)
    due_at = Integer(range_key=True)


class Definition(NamedTuple):
    """What is to be done again and again, and when. `most_missed` is how many of the occurrences
    that nobody started in time are made up for: 0, 1, or as many as there may be."""

    job_type: str
    payload: Any
    cron: str | None
    every: int | None  # seconds
    timezone: str = "UTC"
    campaign_id: str | None = None
    most_missed: int = 1
    overlap: str = "skip"

    @property
    def timing(self) -> tuple[str | None, int | None, str]:
        """Return what says when."""
        return (self.cron, self.every, self.timezone)

    @property
    def fingerprint(self) -> str:
        """Return what tells it from another one. A payload that JSON has no form for counts as
        none: it can't be stored."""
        try:
            told = json.dumps(self._asdict(), sort_keys=True)
        except (TypeError, ValueError, RecursionError):
            told = json.dumps(self._replace(payload=None)._asdict(), sort_keys=True)
        return derived_id("schedule", told)


class Schedule(Table):
    """A schedule. Times are milliseconds since 1970; those that are not of a write are of
    occurrences."""

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "COORDINATION_TABLE_NAME"

    pk = UnicodeAttribute(hash_key=True)  # its organisation
    sk = UnicodeAttribute(range_key=True)  # its name
    version = Integer(default=1)
    revision = UnicodeAttribute()  # another one with every write

    # what was asked
    origin = UnicodeAttribute(default="api")  # or "code", which declares it
    fingerprint = nullable(UnicodeAttribute())  # of what the code declares
    job_type = UnicodeAttribute()
    campaign_id = nullable(UnicodeAttribute())
    packed_payload = BinaryAttribute(legacy_encoding=False)
    cron = nullable(UnicodeAttribute())
    every = nullable(Integer())  # seconds
    timezone = UnicodeAttribute(default="UTC")
    most_missed = Integer(default=1)
    overlap = UnicodeAttribute(default="skip")
    created_at = nullable(Integer())
    created_by = nullable(UnicodeAttribute())
    updated_at = nullable(Integer())
    updated_by = nullable(UnicodeAttribute())
    paused_at = nullable(Integer())
    paused_by = nullable(UnicodeAttribute())

    # how far it is
    since = Integer(default=0)  # its timing holds for occurrences after this one
    next_at = nullable(Integer())  # the occurrence to be dealt with next; None: there is none
    waits = nullable(BooleanAttribute())  # that one has come, and waits for the one before it
    last_at = nullable(Integer())  # the last that was dealt with: moves forward only
    last_started_at = nullable(Integer())
    last_job_id = nullable(UnicodeAttribute())
    last_skipped_at = nullable(Integer())
    last_skipped_why = nullable(UnicodeAttribute())
    last_failed_at = nullable(Integer())
    last_error = JSONAttribute(null=True)  # kind and message
    failing_since = nullable(Integer())  # when next_at was tried first
    retry_error = JSONAttribute(null=True)  # why next_at could not be started so far
    started = Integer(default=0)  # how many
    skipped = Integer(default=0)
    failed = Integer(default=0)

    # when the timer has to look at it
    due_at = nullable(Integer())
    due_shard = nullable(UnicodeAttribute())

    # of a stub
    deleted_at = nullable(Integer())
    expires_at = nullable(Integer())  # in seconds, for TTL

    due = DueSchedules()

    @property
    def organization_id(self) -> str:
        """Return whose it is."""
        return self.pk.partition("#")[2]

    @property
    def name(self) -> str:
        """Return its name, which is its organisation's own."""
        return self.sk

    @property
    def is_deleted(self) -> bool:
        """Return whether it is only a stub."""
        return self.deleted_at is not None

    @property
    def is_declared(self) -> bool:
        """Return whether the code has declared it."""
        return self.origin == "code" and not self.is_deleted

    @property
    def payload(self) -> Any:
        """Return what each of its jobs is given."""
        return json.loads(zlib.decompress(self.packed_payload))

    @property
    def retrying(self) -> bool:
        """Return whether its next occurrence has come, and could not be started so far."""
        return self.failing_since is not None

    @property
    def timing(self) -> tuple[str | None, int | None, str]:
        """Return what says when."""
        return (self.cron, self.every, self.timezone)

    @property
    def error(self) -> Any:
        """Return kind and message of why its next occurrence could not be started so far; or else
        of why the last that could not be was given up."""
        return self.retry_error if self.retrying else self.last_error

    def job_id(self, at: int) -> str:
        """Return the id of an occurrence, which is its job's."""
        return derived_id("recurring", self.organization_id, self.name, str(at))


class ScheduleMoved(Exception):
    """Somebody else has written the schedule since it was read: nothing was written."""


def pack(payload: Any) -> bytes:
    """Return a payload as an item keeps it. Raises ValueError for what JSON has no form for."""
    return zlib.compress(compact_json(payload))


# --- reading ------------------------------------------------------------------------------------


def read(organization_id: str, name: str) -> Schedule | None:
    """Return a schedule, or its stub, as every write before this call left it."""
    try:
        return Schedule.get(_place(organization_id), name, consistent_read=True)
    except Schedule.DoesNotExist:
        return None


def read_many(keys: Iterable[tuple[str, str]]) -> list[Schedule]:
    """Return those of these that there are, organisations and names, in the order asked for."""
    wanted = [(_place(organization_id), name) for organization_id, name in keys]
    found = {(each.pk, each.sk): each for each in Schedule.batch_get(wanted, consistent_read=True)}
    return [found[key] for key in wanted if key in found]


def page(
    organization_id: str, *, limit: int, cursor: str | None = None
) -> tuple[list[Schedule], str | None]:
    """Return an organisation's schedules by name, and a cursor if there are more. Raises
    InvalidCursor."""
    after = _name_of(cursor) if cursor else ""
    # No name has a control character: this sorts directly behind `after`.
    behind = Schedule.sk > f"{after}\0"
    found: list[Schedule] = []
    for each in Schedule.query(
        _place(organization_id), behind, consistent_read=True, page_size=limit + 1
    ):
        if each.is_deleted:
            continue
        if len(found) == limit:
            return found, _cursor(found[-1].name)
        found.append(each)
    return found, None


def count(organization_id: str, most: int) -> int:
    """Return how many schedules and stubs an organisation has, counted up to `most`."""
    return Schedule.count_up_to(most, _place(organization_id), None)


def due(shard: str, until: int, most: int) -> list[Schedule]:
    """Return the schedules of a shard that are due by `until`, longest due first: their keys, and
    `due_at`."""
    return list(Schedule.due.query(shard, Schedule.due_at <= until, limit=most))


def shards() -> list[str]:
    """Return every shard of the index."""
    return [f"{PARTITION}-{number}" for number in range(SHARDS)]


# --- what people and deploys do -----------------------------------------------------------------


def put(
    before: Schedule | None,
    organization_id: str,
    name: str,
    definition: Definition,
    *,
    origin: Origin,
    next_at: int | None,
    since: int,
    by: str | None,
) -> Schedule:
    """Store what a schedule is to do, and which of its occurrences is next. Raises ScheduleMoved if
    it is not as it was read `before`, or the stub."""
    now = clock.now()
    schedule = before or Schedule(_place(organization_id), name)
    is_new = before is None or before.is_deleted
    made = [Schedule.created_at.set(now), set_or_remove(Schedule.created_by, by)]
    keeps_waiting = schedule.waits and definition.overlap == "queue"
    actions = [
        *(made if is_new else ()),
        Schedule.version.set(VERSION),
        Schedule.origin.set(origin),
        set_or_remove(Schedule.fingerprint, definition.fingerprint if origin == "code" else None),
        Schedule.job_type.set(definition.job_type),
        set_or_remove(Schedule.campaign_id, definition.campaign_id),
        Schedule.packed_payload.set(pack(definition.payload)),
        set_or_remove(Schedule.cron, definition.cron),
        set_or_remove(Schedule.every, definition.every),
        Schedule.timezone.set(definition.timezone),
        Schedule.most_missed.set(definition.most_missed),
        Schedule.overlap.set(definition.overlap),
        Schedule.updated_at.set(now),
        set_or_remove(Schedule.updated_by, by),
        Schedule.since.set(since),
        *_comes_next(schedule, next_at, next_at, waits=bool(keeps_waiting)),
        *(() if before is not None and stays_paused(before, origin) else _NOT_PAUSED),
        Schedule.deleted_at.remove(),
        Schedule.expires_at.remove(),
    ]
    return _write(schedule, actions, _as_read(before))


_NOT_PAUSED = (Schedule.paused_at.remove(), Schedule.paused_by.remove())


def stays_paused(before: Schedule, origin: Origin) -> bool:
    """Return whether a schedule is paused when it is put again. What the code declared is also when
    the code has left it out for a while; but the pause is not another schedule's of that name."""
    return before.paused_at is not None and before.origin == origin


def pause(schedule: Schedule, by: str | None) -> Schedule:
    """Have nothing of it start. What comes meanwhile is not made up for. Raises ScheduleMoved."""
    return _write(
        schedule,
        [
            Schedule.paused_at.set(clock.now()),
            set_or_remove(Schedule.paused_by, by),
            *_comes_next(schedule, None, None),
        ],
        _as_read(schedule),
    )


def resume(schedule: Schedule, *, next_at: int | None, since: int) -> Schedule:
    """End its pause. Raises ScheduleMoved."""
    return _write(
        schedule,
        [
            *_NOT_PAUSED,
            Schedule.since.set(since),
            *_comes_next(schedule, next_at, next_at),
        ],
        _as_read(schedule),
    )


def delete(schedule: Schedule) -> None:
    """Leave only its stub: how far it had come, its last job, which may still run, and whether it
    was paused. Raises ScheduleMoved."""
    now = clock.now()
    asked = (
        *(Schedule.fingerprint, Schedule.job_type, Schedule.campaign_id, Schedule.packed_payload),
        *(Schedule.cron, Schedule.every, Schedule.created_at, Schedule.created_by),
        *(Schedule.updated_by, Schedule.last_started_at, Schedule.last_error),
        *(Schedule.last_skipped_at, Schedule.last_skipped_why, Schedule.last_failed_at),
        *(Schedule.started, Schedule.skipped, Schedule.failed),
    )
    _write(
        schedule,
        [
            *(each.remove() for each in asked),
            *_comes_next(schedule, None, None),
            *(() if schedule.origin == "code" else _NOT_PAUSED),
            Schedule.deleted_at.set(now),
            Schedule.expires_at.set((now + _STUB_LIFETIME) // clock.SECOND),
        ],
        _as_read(schedule),
    )


# --- what the timer does ------------------------------------------------------------------------


class Dropped(NamedTuple):
    """Occurrences that are not started: how many, the last of them, and why."""

    number: int
    last_at: int
    why: str


class Step(NamedTuple):
    """How far a schedule moves: every occurrence up to `last_at` was dealt with, and `next_at`
    comes next. Those that `failed` could not be started."""

    last_at: int
    next_at: int | None
    dropped: Dropped | None = None
    failed: tuple[int, ...] = ()


def start_also(schedule: Schedule, step: Step, at: int, revision: str) -> Also:
    """Return the write that goes with the save of an occurrence's job: it was started, and the
    schedule moves on. It is refused unless the schedule is as it was read, and `at` comes after all
    that were dealt with. By its `revision` the write is known, if no answer to it was heard."""
    actions = [
        *_moves_on(schedule, step),
        Schedule.revision.set(revision),
        Schedule.last_started_at.set(at),
        Schedule.last_job_id.set(schedule.job_id(at)),
        Schedule.started.set(schedule.started + 1),
    ]
    return Also(schedule, "change", actions, _as_read(schedule) & _only_forward(at))


def note_answer(
    schedule: Schedule, at: int, job_id: str, revision: str, left_out: str | None
) -> None:
    """Note, of an occurrence that the write of this revision says was started, that another job was
    the answer to it: that one does it, or it was `left_out`, for this reason. Raises
    ScheduleMoved."""
    actions: list[Action] = [Schedule.last_job_id.set(job_id)]
    if left_out is not None:
        actions = [
            Schedule.started.set(schedule.started),
            set_or_remove(Schedule.last_started_at, schedule.last_started_at),
            set_or_remove(Schedule.last_job_id, schedule.last_job_id),
            Schedule.skipped.add(1),  # to those that the write of this revision has left out
            Schedule.last_skipped_at.set(at),
            Schedule.last_skipped_why.set(left_out),
        ]
    _write(Schedule(schedule.pk, schedule.sk), actions, Schedule.revision == revision)


def move_on(schedule: Schedule, step: Step) -> Schedule:
    """Move on without starting anything. Raises ScheduleMoved."""
    return _write(schedule, _moves_on(schedule, step), _as_read(schedule))


def wait(schedule: Schedule, at: int, step: Step, until: int) -> Schedule:
    """Have an occurrence that has come wait for the one before it, which is looked at again at
    `until`; those before it are left out, as the step has it. Raises ScheduleMoved."""
    actions = [*_comes_next(schedule, at, until, waits=True), *_left_behind(schedule, step)]
    return _write(schedule, actions, _as_read(schedule))


def note_failing(
    schedule: Schedule, at: int, step: Step, error: dict[str, Any], *, since: int, until: int
) -> Schedule:
    """Note that an occurrence could not be started, `since` when it was tried; it is tried again at
    `until`. Those before it are left out, as the step has it. Raises ScheduleMoved."""
    actions = [
        Schedule.next_at.set(at),
        *_due(schedule, until),
        Schedule.failing_since.set(since),
        Schedule.retry_error.set(error),
        *_left_behind(schedule, step),
    ]
    return _write(schedule, actions, _as_read(schedule))


def set_aside(key: Schedule, until: int) -> None:
    """Have what can't be read, or not by this code, looked at again at `until`, unless it has been
    written since."""
    try:
        _Key(key.pk, key.sk).update([_Key.due_at.set(until)], _Key.due_at == key.due_at)
    except UpdateError as error:
        if not condition_failed(error):
            raise


class _Key(Table):
    """As much of a schedule as any code can read."""

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "COORDINATION_TABLE_NAME"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    due_at = nullable(Integer())


# --- what they are made of ------------------------------------------------------------------------


def _place(organization_id: str) -> str:
    return f"{PARTITION}#{organization_id}"


def _write(schedule: Schedule, actions: list[Action], condition: Condition) -> Schedule:
    """Write if the condition holds. A write whose answer was lost refuses to be repeated: the item
    has its revision then."""
    revision = new_id()
    try:
        retry_on_conflict(
            lambda: schedule.update([*actions, Schedule.revision.set(revision)], condition)
        )
    except UpdateError as error:
        if not condition_failed(error):
            raise
        there = read(schedule.organization_id, schedule.name)
        if there is None or there.revision != revision:
            raise ScheduleMoved(f"the schedule {schedule.name!r} was written meanwhile") from error
        return there
    return schedule


def _as_read(schedule: Schedule | None) -> Condition:
    condition: Condition = (
        Schedule.revision.does_not_exist()
        if schedule is None
        else Schedule.revision == schedule.revision
    )
    return condition


def _only_forward(at: int) -> Condition:
    condition: Condition = Schedule.last_at.does_not_exist() | (Schedule.last_at < at)
    return condition


def _comes_next(
    schedule: Schedule, next_at: int | None, due_at: int | None, *, waits: bool = False
) -> list[Action]:
    """Return what makes an occurrence the next one, that nobody has tried to start so far."""
    return [
        set_or_remove(Schedule.next_at, next_at),
        set_or_remove(Schedule.waits, waits or None),
        Schedule.failing_since.remove(),
        Schedule.retry_error.remove(),
        *_due(schedule, due_at),
    ]


def _due(schedule: Schedule, due_at: int | None) -> list[Action]:
    number = crc32(f"{schedule.pk}#{schedule.sk}".encode()) % SHARDS
    shard = None if due_at is None else f"{PARTITION}-{number}"
    return [
        set_or_remove(Schedule.due_at, due_at),
        set_or_remove(Schedule.due_shard, shard),
    ]


def _moves_on(schedule: Schedule, step: Step) -> list[Action]:
    return [
        Schedule.last_at.set(step.last_at),
        *_comes_next(schedule, step.next_at, step.next_at),
        *_left_behind(schedule, step),
    ]


def _left_behind(schedule: Schedule, step: Step) -> list[Action]:
    actions: list[Action] = []
    if step.dropped is not None:
        actions += [
            Schedule.skipped.set(schedule.skipped + step.dropped.number),
            Schedule.last_skipped_at.set(step.dropped.last_at),
            Schedule.last_skipped_why.set(step.dropped.why),
        ]
    if step.failed:
        actions += [
            Schedule.failed.set(schedule.failed + len(step.failed)),
            Schedule.last_failed_at.set(step.failed[-1]),
            set_or_remove(Schedule.last_error, schedule.retry_error),
        ]
    return actions


def _cursor(name: str) -> str:
    return base64.urlsafe_b64encode(f"s{name}".encode()).decode().rstrip("=")


def _name_of(cursor: str) -> str:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except ValueError:
        raise InvalidCursor from None
    if not text.startswith("s") or not names.is_name(text[1:]):
        raise InvalidCursor
    return text[1:]
