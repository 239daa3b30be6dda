"""Check the gates before a claim: a pause, and the limits of a queue.

A job that meets a closed gate is parked there. When the gate opens, the job is admitted:
`runners.pausing` does it after a pause, `runners.admission` when its queue has capacity.
"""

from collections.abc import Callable
from contextlib import suppress

import clock
from errors import InvalidPayload, PreconditionFailed, UnknownJobType
from runners import admission, pausing, telemetry, wake_ups
from runners.limits import key_of, limits_of
from runners.messages import JobMessage
from runners.registry import registry
from runners.sending import Send, send_admitted_follower
from store import blobs, line_rates, lines, used_keys, verbs
from store.conditional_write import refused
from store.job_request import JobRequest, Status
from store.limits import Limits
from store.queries import read
from store.transactions import RaceLost
from work.errors import EntryNotLoaded

Claim = Callable[[verbs.Entrance | None], JobRequest]
"""Claims the job, and takes the slot or start that it is given in a queue with limits."""


def enter(message: JobMessage, claim: Claim, token: str, send: Send | None) -> JobRequest | None:
    """Claim the job of a message and return its row, or park the job and return None.

    `token` is the token of the claim. It shows whether an earlier call has made the claim already.
    Raises PreconditionFailed, and the exceptions of `claim`.
    """
    if pausing.park_if_paused(message, send):
        return None
    if not _may_have_limits(message) and not _is_unique_until_started(message.job_type):
        return claim(None)
    patience = clock.now() + wake_ups.SHORT_WAIT
    while True:
        row = read(message.id)
        if row is not None and row.status is Status.RUNNING and row.claim_token == token:
            return row
        if row is None or not pausing.could_start(row):
            raise refused("claim", message.id, row)
        try:
            return _enter_line(row, claim, token, send, patience)
        except RaceLost as lost:
            telemetry.moved(lost)  # another job took that slot or start: read the line again


def _may_have_limits(message: JobMessage) -> bool:
    """Return whether the message's job may be in a queue with limits.

    A message that names no queue is from an older deploy. Then only the row shows the queue.
    """
    return message.queue_name is None or limits_of(message.queue_name) is not None


def _is_unique_until_started(job_type: str) -> bool:
    """Return whether a job of this type gives up its key when it is claimed."""
    unique = registry().job(job_type).unique
    return unique is not None and unique.until == "started"


def _enter_line(
    row: JobRequest, claim: Claim, token: str, send: Send | None, patience: int
) -> JobRequest | None:
    limits = limits_of(row.queue_name)
    gives_up_key = _is_unique_until_started(row.job_type)
    without_limits = verbs.Entrance(row, gives_up_key=True) if gives_up_key else None
    if limits is None:
        return claim(without_limits)
    key = line_key(row)
    if row.is_admitted:
        if row.slot is not None or limits.slots is None:
            if send is not None and not _may_start(row, key, limits, token, send, patience):
                return None
            return claim(verbs.Entrance(row, key, None, gives_up_key))
        if not row.starts_under_rate:  # between two legs: the rate has counted its start
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
    # Capacity may have been freed while no job waited, so no process would admit this job.
    admission.admit_waiting(row.queue_name, key, send)
    return None


def _may_start(
    row: JobRequest, key: str, limits: Limits, token: str, send: Send, patience: int
) -> bool:
    """Count the start of an admitted job against its queue's rate. Return False if it was parked.

    The admission counted against the rate too, but it may be long ago, and other jobs may start
    now. The job is parked again if the rate allows its start only after `patience` (milliseconds
    since 1970).
    """
    if limits.rate is None or not row.starts_under_rate:
        return True
    while True:
        line = lines.read_line(row.queue_name, key, limits)
        opens_at = line.start_opens_at(token)
        if opens_at > patience:
            due_at = wake_ups.due_after(opens_at) if line.first is None else None
            park_in_line(row, key, limits, due_at=due_at, behind=row.admitted_at)
            admission.admit_waiting(row.queue_name, key, send)
            return False
        wait = opens_at - clock.now()
        if wait > 0:
            clock.sleep(wait / clock.SECOND)
        elif line_rates.count_start(line, token):
            return True


def park_running(row: JobRequest, reached: verbs.Checkpoint, send: Send | None) -> bool:
    """Park a job that runs under this invocation's claim, and admit the next job of its line.

    Returns False, and parks nothing, if its queue has no limits. Raises PreconditionFailed.
    """
    limits = limits_of(row.queue_name)
    if limits is None:
        return False
    key = line_key(row)
    try:
        parked = park_in_line(row, key, limits, reached)
    except PreconditionFailed:
        # An earlier try may have parked the job although its response was lost.
        admission.admit_waiting(row.queue_name, key, send)
        raise
    send_admitted_follower(parked, send)  # the job has ended if its owner asked it to stop
    admission.admit_waiting(row.queue_name, key, send)
    return True


def park_in_line(
    row: JobRequest,
    key: str,
    limits: Limits,
    reached: verbs.Checkpoint | None = None,
    due_at: int | None = None,
    behind: int | None = None,
) -> JobRequest:
    """Park a job in the line of a key. Return its row.

    The job is runnable, or runs under this invocation's claim and has `reached` a checkpoint. It
    goes to the end of the line, or behind the jobs that were parked before the time `behind`. The
    timer checks it at `due_at`, by default in an hour. If its owner has asked it to stop, it is
    canceled instead.

    Raises PreconditionFailed.
    """
    parked = verbs.park_in_line(
        row,
        lines.place_of(row.queue_name, key),
        key,
        group=_group(row, limits),
        due_at=due_at or pausing.next_check(row),
        reached=reached,
        behind=behind,
    )
    telemetry.parked_in_line(parked)
    return parked


def line_key(row: JobRequest) -> str:
    """Return the key of the job's line.

    If the row has none, return the key that the job would get now. Its row has none if the job was
    saved before its queue had limits, or was retried by hand.
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
