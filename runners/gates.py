"""Check the gates before a claim: a pause, and the limits of a queue.

A job that may not start now is parked: under a pause, or in the line of its queue and key. Later
`runners.pausing` admits it when the pause has ended, or `runners.admission` when its line has
capacity.
"""

from collections.abc import Callable
from contextlib import suppress

import clock
from errors import InvalidPayload, UnknownJobType
from runners import admission, pausing, telemetry, wake_ups
from runners.limits import LimitedLine, key_of, limits_of
from runners.messages import JobMessage
from runners.registry import registry
from runners.sending import Send
from store import blobs, line_rates, lines, used_keys, verbs
from store.conditional_write import refused
from store.job_request import JobRequest, Status
from store.limits import Limits
from store.queries import read
from store.transactions import RaceLost
from work.errors import EntryNotLoaded

Claim = Callable[[verbs.Entrance | None], JobRequest]
"""Claims the job, and takes the slot or the start that the entrance grants it."""


def enter(message: JobMessage, claim: Claim, token: str, send: Send | None) -> JobRequest | None:
    """Claim the job of a message and return its row, or park the job and return None.

    `token` is the token of the claim. If the row has it already, an earlier try has claimed the
    job. Raises PreconditionFailed, and the exceptions of `claim`.
    """
    if pausing.park_if_paused(message, send):
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
            return _claim_or_park(row, claim, token, send, wait_until)
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


def _claim_or_park(
    row: JobRequest, claim: Claim, token: str, send: Send | None, wait_until: int
) -> JobRequest | None:
    """Claim a job if its queue's limits allow its start. Otherwise park it and return None."""
    limits = limits_of(row.queue_name)
    gives_up_key = _is_unique_until_started(row.job_type)
    without_limits = verbs.Entrance(row, gives_up_key=True) if gives_up_key else None
    if limits is None:
        return claim(without_limits)
    key = line_key(row)
    if row.is_admitted:
        if row.slot is not None or limits.slots is None:
            if send is not None and not _count_start_or_park(
                row, key, limits, token, send, wait_until
            ):
                return None
            return claim(verbs.Entrance(row, key, None, gives_up_key))
        if not row.starts_under_rate:  # it is between two legs, and the rate has counted its start
            limits = limits._replace(rate=None)
    line = lines.read_line(row.queue_name, key, limits)
    used_keys.note_use(line, row.organization_id)
    grant = line.grant(_group(row, limits)) if line.first is None else None
    if grant is not None:
        return claim(verbs.Entrance(row, key, grant, gives_up_key))
    if send is None:  # limits were declared or set after the job was dispatched
        telemetry.started_outside_limits(row)
        return claim(without_limits)
    park_in_line(row, key, limits, due_at=wake_ups.due_without_wake_up(line))
    # Capacity may have been freed just before the job was parked. No other process would admit it.
    admission.admit_waiting(row.queue_name, key, send)
    return None


def _count_start_or_park(
    row: JobRequest, key: str, limits: Limits, token: str, send: Send, wait_until: int
) -> bool:
    """Count the start of an admitted job against its line's rate. Return False if it was parked.

    If the rate allows the start by `wait_until` (milliseconds since 1970), wait for that in this
    process. Otherwise park the job again. The rate has already counted the job's admission, but
    that may be long ago, and other jobs may be starting now.
    """
    if limits.rate is None or not row.starts_under_rate:
        return True
    while True:
        line = lines.read_line(row.queue_name, key, limits)
        opens_at = line.start_opens_at(token)
        if opens_at > wait_until:
            due_at = wake_ups.due_after(opens_at) if line.first is None else None
            park_in_line(row, key, limits, due_at=due_at, position_time=row.admitted_at)
            admission.admit_waiting(row.queue_name, key, send)
            return False
        wait = opens_at - clock.now()
        if wait > 0:
            clock.sleep(wait / clock.SECOND)
        elif line_rates.count_start(line, limits.rate, token):
            return True


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

    The job could start now, or it runs under this invocation's claim. `checkpoint` is the last one
    that a running job reached. The job goes to the end of the line, or to the position of a job
    that was parked at `position_time`. The timer checks it at `due_at`, by default at
    `pausing.next_check`. If its owner has asked it to stop, it is canceled instead.

    Raises PreconditionFailed.
    """
    parked = verbs.park_in_line(
        row,
        lines.partition_key_of(row.queue_name, key),
        key,
        group=_group(row, limits),
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
    return key_of(row.queue_name, row.organization_id, row.campaign_id, payload)


def _group(row: JobRequest, limits: Limits) -> str:
    return row.organization_id if limits.order == "fair" else ""
