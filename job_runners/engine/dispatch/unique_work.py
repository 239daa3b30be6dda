"""Answer requests for unique jobs, and admit jobs that follow another.

The transaction that saves the row also takes the key. If another job has the key, the request reads
that job and applies the rule of the job type (`Unique`): refuse, replace, or return that job. A
request that loses a race starts again.
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
from job_runners.store.job_request import DuplicateOutcome, JobRequest, Lane, Outcome, Status
from job_runners.store.transactions import RaceLost, RecordWrite, RowExists, write_all
from job_runners.store.transitions import replacing
from job_runners.store.transitions.replacing import Replacement
from job_runners.store.transitions.saving import NewJob
from job_runners.store.uniqueness import FreeKey, HeldKey, KeyTaken
from job_runners.work import Unique
from job_runners.work.definitions import LONGEST_WAIT

if TYPE_CHECKING:
    from pydantic import BaseModel

_TRIES = 6  # how many times a request is tried if other requests keep changing the key first
# The time until the timer's next check of a follower is as long as the follower has waited so far,
# within these two bounds. Normally a follower is admitted when the job that it follows ends, so the
# check is only a safeguard.
_SOONEST_CHECK = 10 * clock.MINUTE
_LATEST_CHECK = clock.HOUR


class UniqueRequest(NamedTuple):
    """A request for a unique job.

    `new_job` is the job to save if the rule allows a new one, and `payload` is its payload
    as an instance of its model. `new_job.job_id` is the id that the job must get, or None if any id
    will do.

    `more_writes` are made in one transaction with the outcome of the request. If the outcome is an
    existing job, the writes from `writes_if_existing`, for the same records, are made instead.
    """

    rule: Unique
    key: str
    new_job: NewJob
    payload: "BaseModel"
    more_writes: Sequence[RecordWrite]
    writes_if_existing: Callable[[JobRequest, Outcome], Sequence[RecordWrite]] | None
    send: Send


def accept(request: UniqueRequest) -> Accepted:
    """Return the answer to a request: a new job, or an existing one.

    If the same request was answered before, return the same job.

    Raises UniqueConflict if the rule refuses the request. Raises RaceLost if one of `more_writes`
    is refused, and RowExists if there are `more_writes` and the job exists already. Raises
    PreconditionFailed if other requests are faster at every try.
    """
    stale: Answer | None = None  # an earlier answer to this request, whose job is gone
    for _ in range(_TRIES - 1):
        with suppress(PreconditionFailed):
            return _try_once(request, stale)
        job_id = request.new_job.job_id
        earlier = answers.find(job_id) if job_id is not None else None
        if earlier is not None and earlier.row is not None:
            return _answered_before(earlier.row, earlier.answer)
        stale = earlier.answer if earlier is not None else None
    return _try_once(request, stale)


def is_answered_with_existing(rule: Unique, key: str, job_id: str | None) -> bool:
    """Return whether a request for this key is answered with an existing job.

    That is so if the request was answered this way before. It is also so if another job has the key
    and the request would not create a follower of that job.
    """
    answered = answers.find(job_id) if job_id is not None else None
    if answered is not None and answered.row is not None:
        return True
    found = uniqueness.find_holder(key)
    if not isinstance(found, HeldKey):
        return False
    creates_follower = rule.then == "again" and found.follower is None and found.holder.has_begun
    return not creates_follower


def admit_if_holder_ended(row: JobRequest, send: Send) -> bool:
    """Admit a follower if the job that it follows has ended without admitting it.

    Return whether the follower was admitted. If not, postpone its row, so that the timer checks it
    later. Raises PreconditionFailed if another process admits the follower first.
    """
    key = row.unique_key or ""
    found = uniqueness.find_holder(key)
    if isinstance(found, FreeKey):
        try:
            settle(uniqueness.admit_follower(key, row, found), send)
        except RaceLost as lost:
            telemetry.race_lost(lost)
        else:
            return True
    transitions.postpone(row, next_check(row), Lane.HELD)
    return False


def next_check(row: JobRequest) -> int:
    """Return when the timer next checks a follower."""
    waited = clock.now() - (row.waiting_since or clock.now())
    return clock.now() + min(max(waited, _SOONEST_CHECK), _LATEST_CHECK)


# --- one try --------------------------------------------------------------------------------------


def _try_once(request: UniqueRequest, stale: Answer | None) -> Accepted:
    """Return the row that answers the request.

    `stale` is an earlier answer to this request, whose job is gone. Raises PreconditionFailed if
    another process was faster, and the errors of `accept`.
    """
    try:
        return _save_or_apply_rule(request, stale)
    except RowExists as existing:
        if request.more_writes:
            raise
        return _saved_before(existing.row)
    except RaceLost as lost:
        if any(each.record is one.record for each in lost.refused for one in request.more_writes):
            raise
        raise uniqueness.lost_race_error("accept", "(new job)") from lost


def _save_or_apply_rule(request: UniqueRequest, stale: Answer | None) -> Accepted:
    # A request that replaces usually finds an existing job, so reading first is cheaper.
    if request.rule.on_conflict == "replace":
        found = uniqueness.find_holder(request.key)
        if isinstance(found, HeldKey):
            return _apply_rule(request, found, stale)
    try:
        return Accepted(_save(request.new_job, more_writes=_writes_of_new(request, stale)))
    except KeyTaken as taken:
        return _apply_rule(request, taken.held_key, stale)


def _apply_rule(request: UniqueRequest, held: HeldKey, stale: Answer | None) -> Accepted:
    """Apply the rule to a key that another job has.

    Raises RowExists if that job, or its follower, has the id of the request's own job.
    """
    holder, rule = held.holder, request.rule
    for row in (holder, held.follower):
        if row is not None and row.id == request.new_job.job_id:
            raise RowExists(row)
    if rule.on_conflict == "refuse":
        raise UniqueConflict(holder.job_type, holder.id)
    if rule.on_conflict == "replace":
        last = held.follower or holder
        if not last.has_begun:
            return _replace_existing(request, last, stale)
        if rule.then == "again":
            return _follow(request, held, stale)
    return _return_existing(request, holder, stale)


def _return_existing(request: UniqueRequest, holder: JobRequest, stale: Answer | None) -> Accepted:
    if writes := _writes_of_answer(request, holder, Outcome.RETURNED, stale):
        write_all(writes)
    return Accepted(holder, DuplicateOutcome(Outcome.RETURNED))


def _follow(request: UniqueRequest, held: HeldKey, stale: Answer | None) -> Accepted:
    follower = request.new_job._replace(due_at=clock.now() + _SOONEST_CHECK)
    row = _save(follower, follows=held, more_writes=_writes_of_new(request, stale))
    return Accepted(row, DuplicateOutcome(Outcome.FOLLOWS))


def _save(
    new_job: NewJob, *, more_writes: list[RecordWrite], follows: HeldKey | None = None
) -> JobRequest:
    change = transitions.save(new_job, follows=follows, more_writes=more_writes)
    if new_job.counted and change.is_new:
        from job_runners.engine.dispatch import quota  # imported here because few stacks have one

        quota.note_saved(change.after)
    return change.after


def _replace_existing(
    request: UniqueRequest, existing: JobRequest, stale: Answer | None
) -> Accepted:
    wanted = _wanted(request, existing)
    writes = _writes_of_answer(request, existing, Outcome.REPLACED, stale)
    row = transition(lambda: replacing.replace(existing, wanted, writes), existing, request.send)
    is_sent = _needs_no_message(existing, row)
    return Accepted(row, DuplicateOutcome(Outcome.REPLACED, is_sent=is_sent))


def _wanted(request: UniqueRequest, existing: JobRequest) -> Replacement:
    """Return the payload, time and options that the existing job gets from the request.

    Requests can postpone the job again and again, but never to more than `at_most` seconds after
    the start time that the first request asked for.
    """
    new_job, rule = request.new_job, request.rule
    first = existing.first_run_at or existing.created_at
    max_delay = LONGEST_WAIT if rule.at_most is None else rule.at_most
    run_at = min(new_job.run_at or 0, first + int(max_delay * clock.SECOND))
    is_delayed = run_at > clock.now()
    return Replacement(
        payload=new_job.payload,
        concurrency_key=current_key(
            existing.concurrency_key,
            existing.queue_name,
            new_job.organization_id,
            request.payload,
        ),
        max_attempts=new_job.max_attempts,
        attempt_limit=new_job.attempt_limit,
        run_at=run_at if is_delayed else None,
        due_at=next_due_at(run_at, request.send) if is_delayed else None,
        first_run_at=first,
        on_end=new_job.on_end,
        on_failure=new_job.on_failure,
        announcement=new_job.announcement,
        by=new_job.created_by,
    )


def _writes_of_new(request: UniqueRequest, stale: Answer | None) -> list[RecordWrite]:
    """Return the writes that go with a new row.

    They are refused if the request was answered before.
    """
    job_id = request.new_job.job_id
    check = [answers.no_answer_check(job_id, stale)] if job_id is not None else []
    return [*request.more_writes, *check]


def _writes_of_answer(
    request: UniqueRequest, row: JobRequest, outcome: Outcome, stale: Answer | None
) -> list[RecordWrite]:
    """Return the writes that record an existing job as the answer."""
    more_writes = (
        request.writes_if_existing(row, outcome)
        if request.writes_if_existing
        else request.more_writes
    )
    job_id = request.new_job.job_id
    if job_id is None:
        return [*more_writes]
    record = answers.answer_writes(job_id, row, outcome, request.new_job.request_hash, stale)
    return [*more_writes, *record]


# --- earlier answers ------------------------------------------------------------------------------


def _answered_before(row: JobRequest, answer: Answer) -> Accepted:
    """Return the existing job that the same request was answered with before."""
    row.request_hash = answer.request_hash
    return Accepted(row, DuplicateOutcome(answer.outcome, before=True))


def _saved_before(row: JobRequest) -> Accepted:
    """Return the job that the same request has created before."""
    follows = DuplicateOutcome(Outcome.FOLLOWS, before=True)
    return Accepted(row, follows if row.is_follower else None)


def _needs_no_message(before: JobRequest, after: JobRequest) -> bool:
    """Return whether the job needs no new message after its payload was replaced.

    `before` and `after` are the job's row before and after that. If a message arrives too early,
    the worker sends it again with the remaining delay. So one message is enough, however often the
    job is postponed.
    """
    if after.status is Status.QUEUED:
        return before.status is Status.QUEUED
    if after.status is not Status.SCHEDULED:
        return True
    run_at, old_run_at = after.run_at or 0, before.run_at or 0
    if before.status is Status.SCHEDULED:
        # If the message of a scheduled job was sent, its `due_at` is later than its start time.
        # Otherwise they are equal.
        was_sent = (before.due_at or 0) > old_run_at
        return was_sent and run_at >= old_run_at
    return before.status is Status.QUEUED
