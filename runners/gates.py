"""What stands before a claim: a pause, or a queue whose limits leave no room.

A job that meets a gate which is shut is parked there, and is let on when it opens: by the end of
the pause, see `runners.pausing`, or when there is room in its line, see `runners.admission`.
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
"""Claims the job: with what it is given in its queue, if that has limits."""


def enter(message: JobMessage, claim: Claim, token: str, send: Send | None) -> JobRequest | None:
    """Return the row of a message's job, claimed; None if it is parked instead.

    `token` is that of the claim: it tells that an earlier call has made it. Raises
    PreconditionFailed, and what `claim` raises.
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
            telemetry.moved(lost)  # somebody else was given what this one saw: it looks again


def _may_have_limits(message: JobMessage) -> bool:
    """Return whether the message's job may be in a queue with limits: one whose message does not
    name its queue is of an older deploy, and its row tells."""
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
        if not row.starts_under_rate:  # between two legs, since there were no slots: it has paid
            limits = limits._replace(rate=None)
    line = lines.read_line(row.queue_name, key, limits)
    used_keys.note_use(line, row.organization_id)
    grant = line.grant(_group(row, limits)) if line.first is None else None
    if grant is not None:
        return claim(verbs.Entrance(row, key, grant, gives_up_key))
    if send is None:  # limits were declared or set since it was dispatched
        telemetry.started_outside_limits(row)
        return claim(without_limits)
    park_in_line(row, key, limits, due_at=wake_ups.due_without_wake_up(line))
    admission.admit_waiting(row.queue_name, key, send)  # room may have come while nobody waited
    return None


def _may_start(
    row: JobRequest, key: str, limits: Limits, token: str, send: Send, patience: int
) -> bool:
    """Count the start of an admitted job against its queue's rate.

    It paid when it was admitted, but that may be long ago, and others may start now. Return False
    if the rate opens after `patience` (milliseconds since 1970): then the job was parked again.
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
    """Park a job that runs under our claim at the end of its line, and let on who is next; return
    whether its queue has limits, and it was. Raises PreconditionFailed."""
    limits = limits_of(row.queue_name)
    if limits is None:
        return False
    key = line_key(row)
    try:
        parked = park_in_line(row, key, limits, reached)
    except PreconditionFailed:
        # Perhaps it is parked: by an earlier try, whose answer was lost.
        admission.admit_waiting(row.queue_name, key, send)
        raise
    send_admitted_follower(parked, send)  # if its owner has asked it to stop, it has ended
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
    """Park a job in the line of `key`: one that could start now, or that runs under our claim and
    has `reached` this far. It comes to the end of the line, or behind the jobs that were parked
    before the time `behind`. The timer looks at it at `due_at`, or else in an hour. Return its row,
    which is cancelled instead if its owner has asked it to stop. Raises PreconditionFailed."""
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
    """Return the key of a job's line: that of its row, or for one that was saved before its queue
    had limits or was retried by hand, what it would be now."""
    if row.queue_key is not None:
        return row.queue_key
    payload = blobs.get(row.payload, row.payload_key)
    with suppress(UnknownJobType, InvalidPayload, EntryNotLoaded):  # it will fail of that: anywhere
        payload = registry().job_payload(row.job_type, payload)
    return key_of(row.queue_name, row.organization_id, row.campaign_id, payload)


def _group(row: JobRequest, limits: Limits) -> str:
    return row.organization_id if limits.order == "fair" else ""
