"""Check the gates before a claim: a pause, and the limits of a queue.

A job that may not start now is parked: under a pause, or in the line of its queue and key. Later
`job_runners.engine.lines.pausing` admits it when the pause has ended, or
`job_runners.engine.lines.admission` when its line has capacity.
"""

from collections.abc import Callable
from contextlib import suppress

from job_runners import clock
from job_runners.engine.lines import admission, pausing, wake_ups
from job_runners.engine.lines.limits import LimitedLine, key_of, limits_of
from job_runners.engine.registry.registry import registry
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.messages import JobMessage
from job_runners.engine.wire.sending import Send, can_send
from job_runners.errors import InvalidPayload, UnknownJobType
from job_runners.store import blobs, line_rates, lines, used_keys, verbs
from job_runners.store.conditional_write import refused
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.limits import Limits
from job_runners.store.queries import read
from job_runners.store.transactions import RaceLost
from job_runners.values import Value
from job_runners.work.errors import EntryNotLoaded

# A worker that has time before its start admits the next jobs of its line. A step takes this long.
_ONE_STEP = 100  # milliseconds
# A start that is later than this counts again, because the next one may follow at once.
_LATEST_START = 50  # milliseconds

Claim = Callable[[verbs.Entrance | None], JobRequest]
"""Claims the job, and takes the capacity that the `Entrance` grants it, if there is one."""


class Start(Value):
    """The job starts: it is claimed with this entrance."""

    entrance: verbs.Entrance | None


class Wait(Value):
    """The job waits in a line. For `due_at` and `position_time` see `park_in_line`."""

    line: LimitedLine
    due_at: int | None = None
    position_time: int | None = None


class Arrival(Value):
    """A job whose message has arrived, and what its start may need.

    `token` is the token of its claim. If the rate allows the start by `wait_until` (milliseconds
    since 1970), this process waits for it.
    """

    row: JobRequest
    token: str
    send: Send
    wait_until: int

    @property
    def gives_up_unique_key(self) -> bool:
        """Return whether the job has its unique key only until it starts."""
        return _is_unique_until_started(self.row.job_type)

    def without_limits(self) -> Start:
        """Let the job start without a slot, and without counting a start under a rate."""
        return Start(
            verbs.Entrance(self.row, gives_up_unique_key=True) if self.gives_up_unique_key else None
        )

    def as_admitted(self, key: str) -> Start:
        """Let the job start with the capacity that it got when it was admitted."""
        return Start(verbs.Entrance(self.row, key, None, self.gives_up_unique_key))

    def with_grant(self, key: str, grant: lines.Grant) -> Start:
        """Let the job start with capacity that it takes in the transaction of its claim."""
        return Start(verbs.Entrance(self.row, key, grant, self.gives_up_unique_key))


def enter(message: JobMessage, claim: Claim, token: str, send: Send) -> JobRequest | None:
    """Claim the job of a message and return its row, or park the job and return None.

    `token` is the token of the claim. If the row has it already, an earlier try has claimed the
    job. Raises PreconditionFailed, and the exceptions of `claim`.
    """
    if pausing.park_if_paused(message, token, send):
        return None
    if not _may_have_limits(message) and not _is_unique_until_started(message.job_type):
        return claim(None)
    wait_until = clock.now() + wake_ups.SHORT_WAIT
    while True:
        row = read(message.id)
        if row is not None and row.status is Status.RUNNING and row.claim_token == token:
            return row
        if row is None or not pausing.could_start(row):
            raise refused("claim", message.id, row)
        try:
            match _decide(Arrival(row, token, send, wait_until)):
                case Start(entrance):
                    return claim(entrance)
                case Wait() as wait:
                    _park(row, wait, send)
                    return None
        except RaceLost as lost:  # another job took the slot or the start: read the line again
            telemetry.race_lost(lost)


def _may_have_limits(message: JobMessage) -> bool:
    """Return whether the message's job may be in a queue with limits.

    A message that names no queue is from an older deploy. Only the row then names the queue.
    """
    return message.queue_name is None or limits_of(message.queue_name) is not None


def _is_unique_until_started(job_type: str) -> bool:
    """Return whether a job of this type gives up its key when it is claimed."""
    unique = registry().job(job_type).unique
    return unique is not None and unique.until == "started"


def _decide(job: Arrival) -> Start | Wait:
    """Decide whether a job that could start is within its queue's limits."""
    row = job.row
    line = line_of(row)
    if line is None:
        return job.without_limits()
    if row.is_admitted:
        if row.slot is not None or line.limits.slots is None:
            return _decide_under_rate(job, line)
        if not row.starts_under_rate:  # it is between two legs, and the rate has counted its start
            line = LimitedLine(line.key, line.limits._replace(rate=None))
    return _decide_in_line(job, line)


def _decide_under_rate(job: Arrival, line: LimitedLine) -> Start | Wait:
    """Let an admitted job start if its line's rate allows that now or soon, and count the start.

    The rate has already counted the job's admission, but that may be long ago, and other jobs may
    be starting now. A job that can't start soon waits at its old position.
    """
    row, rate = job.row, line.limits.rate
    if rate is None or not row.starts_under_rate or not can_send(job.send):
        return job.as_admitted(line.key)
    while True:
        found = lines.read_line(row.queue_name, line.key, line.limits)
        opens_at = found.start_opens_at(job.token)
        if opens_at > job.wait_until:
            due_at = wake_ups.due_after(opens_at) if found.first is None else None
            return Wait(line, due_at, position_time=row.admitted_at)
        now = clock.now()
        start_at = max(opens_at, now)
        if not line_rates.count_start(found, rate, job.token, start_at):
            continue
        if start_at > now:
            _wait_for_start(job, found, line.key, start_at)
        if clock.now() <= start_at + _LATEST_START or start_at == now:
            return job.as_admitted(line.key)


def _wait_for_start(job: Arrival, line: lines.Line, key: str, start_at: int) -> None:
    """Wait for a start that is reserved. If no pass paces the line, admit its next jobs first."""
    until = start_at - _ONE_STEP
    if clock.now() + _ONE_STEP < until and not wake_ups.is_paced(line):
        admission.admit_waiting(job.row.queue_name, key, job.send, until=until)
    if (wait := start_at - clock.now()) > 0:
        clock.sleep(wait / clock.SECOND)


def _decide_in_line(job: Arrival, line: LimitedLine) -> Start | Wait:
    """Let a job start if its line has capacity and no job waits in it."""
    row = job.row
    found = lines.read_line(row.queue_name, line.key, line.limits)
    used_keys.note_use(found, row.organization_id)
    grant = found.grant(_fair_group(row, line.limits)) if found.first is None else None
    if grant is not None:
        return job.with_grant(line.key, grant)
    if not can_send(job.send):  # limits were declared or set after the job was dispatched
        telemetry.started_outside_limits(row)
        return job.without_limits()
    return Wait(line, due_at=wake_ups.due_if_first(found))


def _park(row: JobRequest, wait: Wait, send: Send) -> None:
    park_in_line(
        row,
        wait.line.key,
        wait.line.limits,
        due_at=wait.due_at,
        position_time=wait.position_time,
    )
    # Capacity may have been freed just before the job was parked. No other process would admit it.
    admission.admit_waiting(row.queue_name, wait.line.key, send)


def line_of(row: JobRequest) -> LimitedLine | None:
    """Return the line of a saved job, or None if its queue has no limits."""
    limits = limits_of(row.queue_name)
    return None if limits is None else LimitedLine(line_key(row), limits)


def park_in_line(
    row: JobRequest,
    key: str,
    limits: Limits,
    checkpoint: verbs.Checkpoint | None = None,
    due_at: int | None = None,
    position_time: int | None = None,
) -> JobRequest:
    """Park a job in the line of a key. Return its row.

    Call this for a job that could start now, or that runs under this invocation's claim.
    `checkpoint` is the last one that a running job reached. The job goes to the end of the
    line, or to the position of a job that was parked at `position_time`. The timer checks it at
    `due_at`, by default at `pausing.next_check`. If its owner has asked it to stop, it is canceled
    instead.

    Raises PreconditionFailed.
    """
    parked = verbs.park_in_line(
        row,
        lines.partition_key_of(row.queue_name, key),
        key,
        group=_fair_group(row, limits),
        due_at=due_at or pausing.next_check(row),
        reached=checkpoint,
        position_time=position_time,
    )
    telemetry.parked_in_line(parked)
    return parked


def line_key(row: JobRequest) -> str:
    """Return the key of the job's line.

    The row has no key if the job was saved before its queue had limits, or was retried by hand.
    Then return the key that the job would get now.
    """
    if row.queue_key is not None:
        return row.queue_key
    payload = blobs.get(row.payload, row.payload_key)
    # A payload that can't be read fails the job later, so its line doesn't matter.
    with suppress(UnknownJobType, InvalidPayload, EntryNotLoaded):
        payload = registry().job_payload(row.job_type, payload)
    return key_of(row.queue_name, row.organization_id, payload)


def _fair_group(row: JobRequest, limits: Limits) -> str:
    """Return the job's organization if the organizations of its line take turns, otherwise ""."""
    return row.organization_id if limits.order == "fair" else ""
