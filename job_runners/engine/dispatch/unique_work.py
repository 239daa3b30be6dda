"""Handle requests for unique jobs, and admit followers.

Jobs that do the same work have the same *unique key*. Only one job at a time, the *holder*, can
hold the key. The transaction that saves a job also takes the key. If another job holds it, the rule
of the job type (`Unique`) decides what happens: refuse the request, return the holder, replace its
payload, or save a *follower*, which waits until the holder has ended. To *admit* a follower is to
give it the key and let it start. A request that loses a race starts again.

If a request is answered with an existing job, an *answer* is stored, so that a repetition of the
request gets the same job.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from job_runners import clock
from job_runners.engine.lines.limits import current_key
from job_runners.engine.settling.settle import settle, transition
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.sending import Accepted, Send, next_due_at
from job_runners.errors import PreconditionFailed, UniqueConflict
from job_runners.store import answers, transitions, uniqueness
from job_runners.store.answers import Answer
from job_runners.store.job_request import (
    DuplicateAnswer,
    DuplicateOutcome,
    JobRequest,
    Lane,
    Status,
)
from job_runners.store.transactions import RaceLost, RecordWrite, RowExists, write_all
from job_runners.store.transitions import replacing
from job_runners.store.transitions.saving import NewJob
from job_runners.store.uniqueness import FreeKey, HeldKey, KeyTaken
from job_runners.work import Unique
from job_runners.work.definitions import MAX_WAIT

if TYPE_CHECKING:
    from pydantic import BaseModel

_MAX_TRIES = 6  # of a request, while other requests keep changing the key first
# Normally a follower is admitted when the holder ends, but the timer checks it too. The time until
# the next check is as long as the follower has waited so far, within these two bounds.
_MIN_CHECK_GAP = 10 * clock.MINUTE
_MAX_CHECK_GAP = clock.HOUR


class UniqueRequest(NamedTuple):
    """A request for a unique job."""

    rule: Unique
    key: str
    new_job: NewJob  # saved if the rule allows it; its `job_id` is None if any id will do
    payload: "BaseModel"
    # See `dispatch.accept_job` for these two.
    more_writes: Sequence[RecordWrite]
    writes_if_existing: Callable[[JobRequest, DuplicateAnswer], Sequence[RecordWrite]] | None
    send: Send


def accept(request: UniqueRequest) -> Accepted:
    """Save a new job, or return an existing one. A repeated request gets the same job.

    Raises UniqueConflict if the rule refuses the request. Raises RaceLost if one of `more_writes`
    is refused, and RowExists if there are `more_writes` and the job already exists. Raises
    PreconditionFailed if other requests are faster at every try.
    """
    stale_answer: Answer | None = None
    for _ in range(_MAX_TRIES - 1):
        with suppress(PreconditionFailed):
            return _try_once(request, stale_answer)
        # Perhaps the same request was answered before.
        job_id = request.new_job.job_id
        earlier = answers.find(job_id) if job_id is not None else None
        if earlier is not None and earlier.row is not None:
            return _repeated_answer(earlier.row, earlier.answer)
        stale_answer = earlier.answer if earlier is not None else None
    return _try_once(request, stale_answer)


def is_answered_with_existing(rule: Unique, key: str, job_id: str | None) -> bool:
    """Return whether a request for this key is answered with an existing job.

    There are two reasons: the same request was answered with an existing job before, or another job
    holds the key and the request wouldn't create a follower.
    """
    earlier = answers.find(job_id) if job_id is not None else None
    if earlier is not None and earlier.row is not None:
        return True
    state = uniqueness.read_key(key)
    if not isinstance(state, HeldKey):
        return False
    creates_follower = rule.then == "again" and state.follower is None and state.holder.has_begun
    return not creates_follower


def admit_if_holder_ended(row: JobRequest, send: Send) -> bool:
    """Admit a follower if the holder has ended without admitting it.

    Return whether the follower was admitted. If not, postpone its row, so that the timer checks it
    later. Raises PreconditionFailed if another process admits the follower first.
    """
    key = row.unique_key or ""
    state = uniqueness.read_key(key)
    if isinstance(state, FreeKey):
        try:
            settle(uniqueness.admit_follower(key, row, state), send)
        except RaceLost as lost:
            telemetry.race_lost(lost)
        else:
            return True
    now = clock.now()
    waited = now - (row.waiting_since or now)
    next_check = now + min(max(waited, _MIN_CHECK_GAP), _MAX_CHECK_GAP)
    transitions.postpone(row, next_check, Lane.HELD)
    return False


# --- one try --------------------------------------------------------------------------------------


def _try_once(request: UniqueRequest, stale_answer: Answer | None) -> Accepted:
    """Save a new job, or return an existing one.

    `stale_answer` is the stored answer to an earlier request like this one, if the job of that
    answer is gone. Raises PreconditionFailed if another process was faster, and the errors of
    `accept`.
    """
    try:
        return _save_or_apply_rule(request, stale_answer)
    except RowExists as existing:
        if request.more_writes:
            raise
        return _repeated_new_job(existing.row)
    except RaceLost as lost:
        refused_ids = {id(write.record) for write in lost.refused}
        if any(id(write.record) in refused_ids for write in request.more_writes):
            raise  # one of the caller's own writes was refused
        raise uniqueness.lost_race_error("accept", "(new job)") from lost


def _save_or_apply_rule(request: UniqueRequest, stale_answer: Answer | None) -> Accepted:
    """Save the new job if its unique key is free. Otherwise apply the rule of its type."""
    # With the rule "replace", there usually is a holder, so it is cheaper to look for it first.
    if request.rule.on_conflict == "replace":
        state = uniqueness.read_key(request.key)
        if isinstance(state, HeldKey):
            return _apply_rule(request, state, stale_answer)
    try:
        more_writes = _writes_for_new_row(request, stale_answer)
        return Accepted(_save(request.new_job, more_writes=more_writes))
    except KeyTaken as taken:
        return _apply_rule(request, taken.held_key, stale_answer)


def _apply_rule(request: UniqueRequest, held: HeldKey, stale_answer: Answer | None) -> Accepted:
    """Apply the rule to a key that another job holds.

    Raises RowExists if the holder or its follower has the id that the new job would get.
    """
    rule, holder = request.rule, held.holder
    for row in (holder, held.follower):
        if row is not None and row.id == request.new_job.job_id:
            raise RowExists(row)
    if rule.on_conflict == "refuse":
        raise UniqueConflict(holder.job_type, holder.id)
    if rule.on_conflict == "replace":
        last_job = held.follower or holder
        if not last_job.has_begun:
            return _replace_existing(request, last_job, stale_answer)
        if rule.then == "again":
            return _save_follower(request, held, stale_answer)
    return _return_existing(request, holder, stale_answer)


def _return_existing(
    request: UniqueRequest, holder: JobRequest, stale_answer: Answer | None
) -> Accepted:
    writes = _writes_for_answer(request, holder, DuplicateAnswer.RETURNED, stale_answer)
    if writes:
        write_all(writes)
    return Accepted(holder, DuplicateOutcome(DuplicateAnswer.RETURNED))


def _save_follower(request: UniqueRequest, held: HeldKey, stale_answer: Answer | None) -> Accepted:
    follower = request.new_job._replace(due_at=clock.now() + _MIN_CHECK_GAP)
    row = _save(follower, follows=held, more_writes=_writes_for_new_row(request, stale_answer))
    return Accepted(row, DuplicateOutcome(DuplicateAnswer.FOLLOWS))


def _save(
    new_job: NewJob, *, more_writes: list[RecordWrite], follows: HeldKey | None = None
) -> JobRequest:
    change = transitions.save(new_job, follows=follows, more_writes=more_writes)
    if new_job.counted:
        from job_runners.engine.dispatch import quota  # imported here because few stacks have one

        quota.note_saved(change.after)
    return change.after


def _replace_existing(
    request: UniqueRequest, existing: JobRequest, stale_answer: Answer | None
) -> Accepted:
    replacement = _replacement(request, existing)
    writes = _writes_for_answer(request, existing, DuplicateAnswer.REPLACED, stale_answer)
    row = transition(
        lambda: replacing.replace(existing, replacement, writes), existing, request.send
    )
    is_sent = _needs_no_message(existing, row)
    return Accepted(row, DuplicateOutcome(DuplicateAnswer.REPLACED, is_sent=is_sent))


def _replacement(request: UniqueRequest, existing: JobRequest) -> NewJob:
    """Return the payload, start time and options that the existing job gets from the request.

    Each request may postpone the job, but at most until `at_most` seconds after the start time that
    the first request gave.
    """
    new_job, rule = request.new_job, request.rule
    max_delay = MAX_WAIT if rule.at_most is None else rule.at_most
    # A job with a unique key always has `first_run_at`, because it gets both at the same time.
    latest_run_at = (existing.first_run_at or 0) + int(max_delay * clock.SECOND)
    run_at = min(new_job.run_at or 0, latest_run_at)
    is_delayed = run_at > clock.now()
    return new_job._replace(
        concurrency_key=current_key(
            existing.concurrency_key,
            existing.queue_name,
            new_job.organization_id,
            request.payload,
        ),
        run_at=run_at if is_delayed else None,
        due_at=next_due_at(run_at, request.send) if is_delayed else None,
    )


def _writes_for_new_row(request: UniqueRequest, stale_answer: Answer | None) -> list[RecordWrite]:
    """Return the writes to make in one transaction with a new row.

    One of them checks that no answer to the same request is stored. If one is stored, the whole
    transaction is refused.
    """
    writes = [*request.more_writes]
    job_id = request.new_job.job_id
    if job_id is not None:
        writes.append(answers.no_answer_check(job_id, stale_answer))
    return writes


def _writes_for_answer(
    request: UniqueRequest, row: JobRequest, outcome: DuplicateAnswer, stale_answer: Answer | None
) -> list[RecordWrite]:
    """Return the writes that store an existing job as the answer."""
    if request.writes_if_existing:
        writes = [*request.writes_if_existing(row, outcome)]
    else:
        writes = [*request.more_writes]
    job_id = request.new_job.job_id
    if job_id is not None:
        request_hash = request.new_job.request_hash
        writes += answers.answer_writes(job_id, row, outcome, request_hash, stale_answer)
    return writes


def _repeated_answer(row: JobRequest, answer: Answer) -> Accepted:
    """Return the existing job with which the same request was answered before.

    The row gets the hash of the answered request. Its own hash belongs to the request that created
    the job.
    """
    row.request_hash = answer.request_hash
    return Accepted(row, DuplicateOutcome(answer.outcome, is_repeated=True))


def _repeated_new_job(row: JobRequest) -> Accepted:
    """Return the job that the same request created before."""
    if not row.is_follower:
        return Accepted(row)
    return Accepted(row, DuplicateOutcome(DuplicateAnswer.FOLLOWS, is_repeated=True))


def _needs_no_message(before: JobRequest, after: JobRequest) -> bool:
    """Return whether the job needs no new message after its payload was replaced.

    `before` and `after` are the job's row before and after the replacement. One message is enough,
    however often the job is postponed. If the message arrives too early, the worker sends it again
    with the remaining delay.
    """
    was_queued = before.status is Status.QUEUED  # a message about a queued job was already sent
    if after.status is Status.QUEUED:
        return was_queued
    if after.status is not Status.SCHEDULED:
        return True  # the job waits, and gets a message once it is admitted
    if before.status is not Status.SCHEDULED:
        return was_queued
    # If the message of a scheduled job was sent, its `due_at` is later than its start time.
    # Otherwise they are equal.
    old_run_at = before.run_at or 0
    was_sent = (before.due_at or 0) > old_run_at
    return was_sent and (after.run_at or 0) >= old_run_at
