"""One tick of the timer: everything that is due gets what it waits for, and is moved or removed.

A row is due when it wants attention if nothing else happens: its message was lost, its worker died,
or its time has come. Most rows finish before they are ever met here.
"""

import heapq
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from errors import (
    HeldTooLong,
    Interrupted,
    JobRunnersError,
    NeverStarted,
    PreconditionFailed,
    SendFailed,
    TypeForgotten,
)
from runners import log, pause
from runners.base import LONGEST_WAIT, Send
from runners.messages import JobMessage
from runners.outcome import answer, error_record
from runners.registry import registry
from store import aws, change, clock, pauses, verbs
from store.job_request import DUE_SHARDS, JobRequest, Status
from store.queries import due, read
from work.definitions import DAY_IN_SECONDS

# Rows that one tick takes on. What is left is still due at the next.
ROWS_PER_TICK = 1000
_LONGEST_GAP = clock.HOUR  # between two looks at a row that stays unclaimed
_FAILURES_IN_A_ROW = 3  # sends that fail: the worker can't be reached, the rest can wait


class Met(StrEnum):
    """What a tick did about a row."""

    SENT = "sent"
    HELD_BACK = "held back"  # its type or queue is paused
    LET_GO = "let go"  # after a pause
    LEASED = "leased"  # running and alive: looked at again when its lease is over
    RESCUED = "rescued"
    EARLY = "early"  # looked at again at its time
    EXPIRED = "expired"  # nobody could start it in time: failed
    BROKEN = "broken"  # could not be read, or not be dealt with: looked at again in an hour
    MOVED = "moved"  # changed between the index and us, by whoever has it


@dataclass
class Tick:
    """What one tick met. `lag` is how late its oldest row was, in milliseconds."""

    met: Counter[Met] = field(default_factory=Counter)
    lag: int = 0
    send_failures: int = 0


def tick(
    send: Send, *, until: int, ahead: int = 0, rows: int = ROWS_PER_TICK, sends: int | None = None
) -> Tick:
    """Meet what is due, oldest first, until `until` (milliseconds since 1970), or `rows` are met,
    or `sends` are sent.

    `ahead` takes in waiting rows due that many milliseconds from now: a worker process that polls
    the table, instead of being sent messages, looks ahead by the grace a new row is given.
    """
    result = Tick()
    keys = _oldest(clock.now() + ahead, rows)
    result.lag = max((clock.now() - ahead - (key.due_at or 0) for key in keys), default=0)
    _pump(result, send, until, rows if sends is None else sends)
    failures = 0
    for key in keys:
        if clock.now() >= until or failures == _FAILURES_IN_A_ROW:
            break
        if result.met[Met.SENT] == sends:
            break
        try:
            result.met[_meet(key.id, ahead, send)] += 1
            failures = 0
        except PreconditionFailed:
            result.met[Met.MOVED] += 1
        except SendFailed as error:
            log.not_sent(error)  # already postponed: met again soon, and not head of line
            failures += 1
            result.send_failures += 1
        except Exception as error:  # noqa: BLE001 - one row must never keep the others waiting
            log.crashed(error)
            failures += isinstance(error, aws.FAILURES)
            if not aws.may_pass(error):  # else it is not the row's fault, and it stays due
                result.met[Met.BROKEN] += 1
                _set_aside(key)
    return result


def _pump(result: Tick, send: Send, until: int, most: int) -> None:
    """First, for what was paused has waited longest; with half of the time, for it is not all."""
    now = clock.now()
    try:
        gone = pause.pump(send, until=now + (until - now) // 2, most=most)
    except Exception as error:  # noqa: BLE001 - what is due must not wait for what was paused
        log.crashed(error)
    else:
        if gone:
            result.met[Met.LET_GO] = gone


def _oldest(horizon: int, rows: int) -> list[JobRequest]:
    """Keys from every shard, merged: a shard whose rows fail can't hold up the others."""
    found: list[JobRequest] = []
    failed: list[Exception] = []
    for shard in range(DUE_SHARDS):
        try:
            found += due(str(shard), horizon, rows)
        except Exception as error:  # noqa: BLE001 - throttled, say: the other shards still answer
            log.crashed(error)
            failed.append(error)
    if len(failed) == DUE_SHARDS:
        raise failed[0]
    return heapq.nsmallest(rows, found, key=lambda key: key.due_at or 0)


def _set_aside(key: JobRequest) -> None:
    try:
        later = clock.now() + _LONGEST_GAP
        verbs.set_aside(key.id, seen_due_at=key.due_at or 0, due_at=later)
    except Exception as error:  # noqa: BLE001 - it has moved, or DynamoDB is away: met again
        log.crashed(error)


def _meet(job_id: str, ahead: int, send: Send) -> Met:
    """What a due row wants, by its status as it is now; it is moved or removed whatever that is."""
    row = read(job_id)
    running = row is not None and row.status is Status.RUNNING
    horizon = clock.now() + (0 if running else ahead)
    if row is None or row.due_at is None or row.due_at > horizon:
        return Met.MOVED  # the index lags behind the table, or it is no waiting row
    match row.status:
        case Status.RUNNING:
            return _meet_running(row, send)
        case Status.WAITING:
            return _meet_held_back(row, send)
    if row.early > verbs.EARLY:
        verbs.postpone(row, (row.run_at or 0) + ahead)
        return Met.EARLY
    if _too_late(row):
        return _expire(row, NeverStarted(_start_within(row)))
    if _forgotten(row):
        return _expire(row, TypeForgotten(row.job_type, LONGEST_WAIT / DAY_IN_SECONDS))
    if brake := pauses.brakes().on(row):
        pause.hold(brake, row)
        return Met.HELD_BACK
    verbs.postpone(row, _later_look(row) + ahead)
    send(JobMessage.about(row))
    return Met.SENT


def _meet_running(row: JobRequest, send: Send) -> Met:
    if row.lease_until is not None and row.lease_until >= clock.now():
        verbs.postpone(row, row.lease_until)
        return Met.LEASED
    gone = Interrupted("its worker ended without a word")
    log.settled(answer(row, gone, send, rescue=True), gone)
    return Met.RESCUED


def _meet_held_back(row: JobRequest, send: Send) -> Met:
    """Its brake lets it go when it is released; this is in case that has failed."""
    if clock.now() - (row.waiting_since or 0) > LONGEST_WAIT * clock.SECOND:
        return _expire(row, HeldTooLong(LONGEST_WAIT / DAY_IN_SECONDS))
    return Met.LET_GO if pause.let_go(row, send) else Met.HELD_BACK


def _expire(row: JobRequest, late: JobRunnersError) -> Met:
    log.settled(verbs.expire(row, error_record(late)), late)
    return Met.EXPIRED


def _too_late(row: JobRequest) -> bool:
    """Only until it has started for the first time."""
    never_started = row.legs == 0 and row.status in (Status.QUEUED, Status.SCHEDULED)
    return never_started and clock.now() - row.could_run_at > _start_within(row) * clock.SECOND


def _forgotten(row: JobRequest) -> bool:
    """It had begun, and no deploy has known its type for as long as anything may wait."""
    since = row.updated_at or row.created_at
    return row.job_type not in registry().jobs and clock.now() - since > LONGEST_WAIT * clock.SECOND


def _start_within(row: JobRequest) -> float:
    known = registry().jobs.get(row.job_type)
    return known.start_within if known else DAY_IN_SECONDS


def _later_look(row: JobRequest) -> int:
    """Twice as far from when it could first run as now, so looks double: a backlog behind a few
    workers is sent again in proportion to its jobs, not to the minutes it lasts."""
    age = clock.now() - row.could_run_at
    return clock.now() + min(max(age, change.GRACE), _LONGEST_GAP)
