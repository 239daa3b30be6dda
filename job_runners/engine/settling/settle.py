"""Settle a transition: see to everything that follows from it.

Every process that ends a job, continues it or makes it wait calls `settle` with the `Change` that
the transition returned. Nothing else sends the jobs that an end has saved or admitted, records a
member's end in its group, admits the jobs that wait in a line, or counts a failure. To add a
consequence of a job's end, add it to `settle`.

If a process is killed before this, the timer does the rest.
"""

from collections.abc import Callable
from functools import partial

from job_runners import clock
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.messages import JobMessage
from job_runners.engine.wire.sending import Send, send_or_leave_due
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Status

AdmitWaiting = Callable[[str, str, bool], None]
"""Admits the jobs that wait in the line of a queue and key. The last argument is whether the
transition has freed capacity there."""


def settle(
    change: Change,
    send: Send,
    *,
    thorough: bool = False,
    admit_waiting: AdmitWaiting | None = None,
) -> None:
    """See to everything that follows from a transition. Errors are only logged.

    Pass `thorough` for a process that stands in for one that was killed: the job's line is then
    checked completely, even if the transition has freed nothing. `admit_waiting` replaces the
    admission of waiting jobs, for a process that handles many jobs of a line.
    """
    row = change.after
    if change.resumes:
        send_or_leave_due(row, send, row.starts_in / clock.SECOND)
    for each in change.saved:
        _send_saved(each, row, send)
    if row.member_of is not None and row.status.finished:
        # Imported here because most jobs are in no group, and wait for none.
        from job_runners.engine.settling import group_ends

        group_ends.member_ended(row, partial(settle, send=send))
    if row.status is Status.WAITING:
        _settle_wait(change, send)
    _settle_line(change, send, thorough, admit_waiting)
    if row.status is Status.FAILED and change.is_known:
        from job_runners.engine.settling import error_groups  # most jobs succeed

        error_groups.note(row)


def transition(
    write: Callable[[], Change],
    row: JobRequest,
    send: Send,
    *,
    admit_waiting: AdmitWaiting | None = None,
) -> JobRequest:
    """Make a transition of a row, settle it, and return the row.

    If the transition raises an error, it may have been written nevertheless. So what may follow
    from it is settled too, before the error is raised.
    """
    try:
        change = write()
    except Exception:
        settle(Change.unknown(row), send, admit_waiting=admit_waiting)
        raise
    settle(change, send, admit_waiting=admit_waiting)
    return change.after


def settle_unknown(
    message: JobMessage, row: JobRequest | None, send: Send, *, thorough: bool = False
) -> None:
    """Settle a change that an earlier process with this message may have made.

    That process may have been killed, or have lost the response to its write. `row` is the row of
    the message's job as it is now, or None if it couldn't be read. If another message has led to
    the row's last claim, only the job's line matters.
    """
    if row is None or row.send_id != message.send_id:
        source = message if row is None else row
        row = JobRequest(
            id=message.id,
            status=Status.QUEUED,
            queue_name=source.queue_name,
            concurrency_key=source.concurrency_key,
        )
    settle(Change.unknown(row), send, thorough=thorough)


def check_group(parent: JobRequest, send: Send) -> bool:
    """Continue a job if all members of its group have ended. Return whether it continues.

    If its members are to be canceled, cancel them first.
    """
    from job_runners.engine.settling import group_ends

    return group_ends.check(parent, partial(settle, send=send))


def _settle_wait(change: Change, send: Send) -> None:
    """Check the group of a job that has begun to wait for it, or that cancels its members."""
    row = change.after
    if row.awaits_group and (not change.before.awaits_group or row.cancel_members):
        from job_runners.engine.settling import group_ends

        group_ends.parent_waits(row, partial(settle, send=send))


def _send_saved(saved: JobRequest, ended: JobRequest, send: Send) -> None:
    """Send a job that an end has saved or admitted: a follow-up, or the follower with its key."""
    if saved.follow_up_of == ended.id:
        telemetry.follow_up_saved(saved)
    send_or_leave_due(saved, send, max(0, (saved.run_at or 0) - clock.now()) / clock.SECOND)


def _settle_line(
    change: Change, send: Send, thorough: bool, admit_waiting: AdmitWaiting | None
) -> None:
    """Admit the jobs that wait in the line of a job, if the transition may allow that.

    It does if it has freed the job's slot, removed the job from the line, or put it there: capacity
    may have been freed just before. A job that fails in its line has waited for 30 days: the jobs
    behind it have due times of their own.
    """
    before, row = change.before, change.after
    concurrency_key = (
        row.concurrency_key if before.concurrency_key is None else before.concurrency_key
    )
    frees = row.slot != before.slot
    has_moved = row.wait_key != before.wait_key and row.status is not Status.FAILED
    if concurrency_key is None or not (frees or has_moved or thorough or not change.is_known):
        return
    if admit_waiting is not None:
        admit_waiting(row.queue_name, concurrency_key, frees)
        return
    # Imported here because most jobs wait in no line.
    from job_runners.engine.lines import admission

    admission.admit_waiting(row.queue_name, concurrency_key, send, thorough=thorough)
