"""Decide whether a job's *gates* allow it to start now: pauses, and the limits of its queue.

A job that may not start now is *held*: it waits under a pause, or in a *line*. A line consists of
the waiting jobs of a queue that share a concurrency key. To *admit* a held job is to let it start.
`job_runners.engine.lines.pausing` admits jobs when a pause ends, and
`job_runners.engine.lines.admission` admits jobs when their line has capacity.

A *grant* is the capacity that a line gives to a job: a slot, a start under the queue's rate, or
both. An *entrance* contains what a claim needs to take this capacity: the key of the line, and the
grant.

Other modules import this one inside functions, because most jobs have no gates.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from job_runners import clock
from job_runners.engine.lines import admission, pausing, wake_ups
from job_runners.engine.lines.limits import LimitedLine, key_of, limits_of
from job_runners.engine.registry.registry import registry
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.messages import JobMessage
from job_runners.engine.wire.sending import Send, can_send
from job_runners.errors import InvalidPayload, UnknownJobType
from job_runners.store import blobs, lines, pauses, transitions, used_keys
from job_runners.store.conditional_write import Change, refusal_error
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.limits import Limits
from job_runners.store.queries import read
from job_runners.values import Value
from job_runners.work.errors import FunctionNotLoaded

# How many milliseconds a worker waits for a start that the rate allows soon.
MAX_START_WAIT = wake_ups.SHORT_WAIT
# Roughly how many milliseconds it takes to admit a job. A worker that waits longer than this for
# its job's start admits the next jobs of the line in the meantime.
_ADMISSION_TIME = 100
# A start that is later than this many milliseconds is counted again, at its new time. Otherwise the
# next start could follow too soon.
_MAX_START_LATENESS = 50


class StartNow(Value):
    """The job may start."""

    entrance: transitions.Entrance | None  # None if the job needs no capacity


class AlreadyStarted(Value):
    """An earlier try has claimed the job."""

    row: JobRequest


class Wait(Value):
    """The job must wait under a pause, or in a line."""

    hold: Callable[[], Change]  # makes the job wait; raises PreconditionFailed


class ArrivedJob(Value):
    """A job whose message has arrived, before its claim.

    `token` is the token that the claim will store. If the queue's rate allows the job to start by
    `wait_until` (milliseconds since 1970), this process waits until the start.
    """

    row: JobRequest
    token: str
    send: Send
    wait_until: int

    def start(self, key: str | None = None, grant: lines.Grant | None = None) -> StartNow:
        """Return the decision that the job may start.

        `key` is the key of the job's line, or None if the job needs no capacity. The claim takes
        the capacity of `grant`. `grant` is None if the job got its capacity when it was admitted.
        """
        unique = registry().job(self.row.job_type).unique
        gives_up_unique_key = unique is not None and unique.until == "started"
        if key is None and not gives_up_unique_key:
            return StartNow(entrance=None)
        return StartNow(transitions.Entrance(self.row, key, grant, gives_up_unique_key))


def decide(
    message: JobMessage, token: str, send: Send, *, wait_until: int
) -> StartNow | AlreadyStarted | Wait:
    """Decide whether the job of a message may start now. See `ArrivedJob` for the arguments.

    Raises PreconditionFailed if the job couldn't start now even without gates. The claim checks
    this too, but only later. Without the check here, another process could make the job startable
    in between, and the claim would start it without a look at its pauses.
    """
    row = read(message.id)
    if row is not None and row.status is Status.RUNNING and row.claim_token == token:
        return AlreadyStarted(row)
    if row is None or not pausing.could_start(row):
        raise refusal_error("claim", message.id, row)
    pause = pauses.pause_on(row)
    if pause is not None:
        return Wait(partial(pausing.hold_under_pause, pause, row))
    return _decide_by_limits(ArrivedJob(row, token, send, wait_until))


def _decide_by_limits(job: ArrivedJob) -> StartNow | Wait:
    """Decide whether the queue's limits allow the job to start.

    A job that was admitted with all its capacity only needs a start that fits the rate. Every other
    job needs capacity from its line.
    """
    row = job.row
    line = line_of(row)
    if line is None:
        return job.start()
    if row.is_admitted:
        has_slot_if_needed = row.slot is not None or line.limits.slots is None
        if has_slot_if_needed:
            return _decide_under_rate(job, line)
        # The rate has already counted the start of a job that is between two invocations.
        if not row.starts_under_rate:
            line = LimitedLine(line.key, line.limits._replace(rate=None))
    return _decide_in_line(job, line)


def _decide_under_rate(job: ArrivedJob, line: LimitedLine) -> StartNow | Wait:
    """Let an admitted job start if its line's rate allows that now or soon, and count the start.

    The rate already counted a start for this job when it was admitted. But the admission may be
    long ago, and other jobs may be starting now. So this counts the job again, at the time at which
    it really starts. A job that can't start soon waits at its old position in the line.
    """
    row = job.row
    rate = line.limits.rate
    if rate is None or not row.starts_under_rate or not can_send(job.send):
        return job.start(line.key)
    while True:
        current = lines.read_line(row.queue_name, line.key, line.limits)
        opens_at = current.next_start_at(job.token)
        if opens_at > job.wait_until:
            # If no job waits in the line, this one becomes its first. The timer then checks it once
            # the rate allows a start.
            due_at = wake_ups.due_after(opens_at) if current.first is None else None
            return Wait(
                partial(hold_in_line, row, line, due_at=due_at, position_time=row.admitted_at)
            )
        now = clock.now()
        start_at = max(opens_at, now)
        if not lines.count_start(current, rate, job.token, start_at):
            continue  # another process has changed the line: read it again
        _wait_for_start(job, current, line.key, start_at)
        is_late = clock.now() > start_at + _MAX_START_LATENESS
        if start_at == now or not is_late:
            return job.start(line.key)


def _wait_for_start(job: ArrivedJob, line: lines.Line, key: str, start_at: int) -> None:
    """Wait until `start_at`.

    If there is enough time, and no other process is admitting the line's jobs, use the time to
    admit some of them.
    """
    until = start_at - _ADMISSION_TIME
    if clock.now() + _ADMISSION_TIME < until and not wake_ups.is_paced(line):
        admission.admit_waiting(job.row.queue_name, key, job.send, until=until)
    wait = start_at - clock.now()
    if wait > 0:
        clock.sleep(wait / clock.SECOND)


def _decide_in_line(job: ArrivedJob, line: LimitedLine) -> StartNow | Wait:
    """Let a job start if its line has capacity and no other job waits in it."""
    row = job.row
    current = lines.read_line(row.queue_name, line.key, line.limits)
    used_keys.note_use(current, row.organization_id)
    if current.first is None:
        grant = current.grant(_fair_group(row, line.limits))
        if grant is not None:
            return job.start(line.key, grant)
    # A process that can't send messages can't admit the job later, so it starts the job despite the
    # limits. This is rare: such a process refuses to dispatch jobs to a queue with limits, so the
    # queue must have got its limits after the dispatch.
    if not can_send(job.send):
        telemetry.started_outside_limits(row)
        return job.start()
    return Wait(partial(hold_in_line, row, line, due_at=wake_ups.due_if_first(current)))


def line_of(row: JobRequest) -> LimitedLine | None:
    """Return the line of a saved job, or None if its queue has no limits."""
    limits = limits_of(row.queue_name)
    return None if limits is None else LimitedLine(line_key(row), limits)


def hold_in_line(
    row: JobRequest,
    line: LimitedLine,
    checkpoint: transitions.Checkpoint | None = None,
    *,
    due_at: int | None = None,
    position_time: int | None = None,
) -> Change:
    """Make a job wait in its line. If a caller has asked the job to stop, cancel it instead.

    Call this for a job that could start now, or that runs under this invocation's claim.

    - `checkpoint`: the last checkpoint that a running job reached.
    - `due_at`: when the timer checks the job, by default `pausing.next_check`.
    - `position_time`: the job gets the position that it would have if it had waited since this
      time. By default, it goes to the end of the line.

    Raises PreconditionFailed.
    """
    change = transitions.hold_in_line(
        row,
        lines.partition_key_of(row.queue_name, line.key),
        line.key,
        group=_fair_group(row, line.limits),
        due_at=due_at or pausing.next_check(row),
        checkpoint=checkpoint,
        position_time=position_time,
    )
    telemetry.held_in_line(change.after)
    return change


def line_key(row: JobRequest) -> str:
    """Return the key of the job's line. If the row stores no key, compute it from the payload.

    A row stores no key if the job was saved before its queue had limits, or was retried manually.
    """
    if row.concurrency_key is not None:
        return row.concurrency_key
    payload = blobs.get(row.payload, row.payload_key)
    # A job whose payload can't be read fails later, so its line doesn't matter.
    with suppress(UnknownJobType, InvalidPayload, FunctionNotLoaded):
        payload = registry().job_payload(row.job_type, payload)
    return key_of(row.queue_name, row.organization_id, payload)


def _fair_group(row: JobRequest, limits: Limits) -> str:
    """Return the job's organization if organizations take turns in its line, otherwise ""."""
    return row.organization_id if limits.order == "fair" else ""
