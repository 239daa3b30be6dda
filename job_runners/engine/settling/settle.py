"""Settle a transition: do everything that follows from a change of a job's row.

A *transition* is a write that changes a job's row. It returns a `Change`: the row before and
after the write. Every process that ends a job, continues it or makes it wait then calls `settle`
with this change. Only `settle` sends the jobs that a job's end has saved, records a member's end
in its group, gives away the capacity that the end has freed, and counts failures. To add a
consequence of a job's end, add it to `settle`. (Jobs are also admitted where nothing has ended: by
a worker that has to wait for a start, by wake-ups and by the timer's sweep.)

If a process is killed before it has settled its transition, the timer does the rest.
"""

from collections.abc import Callable
from functools import partial

from job_runners import clock
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.messages import JobMessage
from job_runners.engine.wire.sending import Send, send_or_leave_due
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Status


def settle(change: Change, send: Send, *, thorough: bool = False) -> None:
    """Do everything that follows from a transition. Errors are only logged.

    A *line* consists of the jobs that wait for capacity in one queue, under one concurrency key.
    Pass `thorough=True` in a process that takes over from a killed process. Then the job's whole
    line is checked, even if the transition has freed no capacity.
    """
    row = change.after
    if change.needs_message:
        send_or_leave_due(row, send, row.starts_in / clock.SECOND)
    for saved in change.saved:
        _send_saved(saved, row, send)
    if row.member_of is not None and row.status.finished:
        # Imported here because most jobs are in no group.
        from job_runners.engine.settling import group_ends

        group_ends.record_member_end(row, partial(settle, send=send))
    if row.status is Status.WAITING:
        _settle_wait(change, send)
    _settle_line(change, send, thorough)
    if row.status is Status.FAILED and change.is_known:
        # Imported here because most jobs succeed.
        from job_runners.engine.settling import error_groups

        error_groups.count_failure(row)


def transition(write: Callable[[], Change], row: JobRequest, send: Send) -> JobRequest:
    """Make a transition of a row by calling `write`, settle it, and return the new row.

    If `write` raises an error, it may have changed the row anyway. So do what would follow from any
    change of the row, and raise the error again.
    """
    try:
        change = write()
    except Exception:
        settle(Change.unknown(row), send)
        raise
    settle(change, send)
    return change.after


def settle_unknown(
    message: JobMessage, row: JobRequest | None, send: Send, *, thorough: bool = False
) -> None:
    """Settle a change that another process with the same message may have made.

    The other process may have been killed, or may have got no response to its write. `row` is the
    current row of the message's job, or None if it couldn't be read. If the row's last claim came
    from another message, only the job's line is checked.
    """
    if row is None or row.send_id != message.send_id:
        # To check the line, `settle` needs only its queue and key. If there is no row, take them
        # from the message.
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

    First cancel its members if that is necessary.
    """
    from job_runners.engine.settling import group_ends

    return group_ends.check(parent, partial(settle, send=send))


def _settle_wait(change: Change, send: Send) -> None:
    """Check a job's group if the job has just begun to wait for it.

    Also check the group if a caller has canceled the job with its members.
    """
    row = change.after
    if row.awaits_group and (not change.before.awaits_group or row.cancel_members):
        from job_runners.engine.settling import group_ends

        group_ends.check_new_wait(row, partial(settle, send=send))


def _send_saved(saved: JobRequest, ended: JobRequest, send: Send) -> None:
    """Send a job that was saved or admitted when another job ended.

    The saved job is a follow-up of the ended job, or it waited for the ended job's unique key.
    """
    if saved.follow_up_of == ended.id:
        telemetry.follow_up_saved(saved)
    delay = max(0, (saved.run_at or 0) - clock.now())
    send_or_leave_due(saved, send, delay / clock.SECOND)


def _settle_line(change: Change, send: Send, thorough: bool) -> None:
    """Admit jobs that wait in the job's line, if the transition may have made that possible.

    This checks the line if the transition freed the job's slot, or removed the job from the line.
    It also checks the line if the transition put the job into it, because capacity may have become
    free just before. It ignores a job that failed in its line. Such a job has waited for 30 days,
    and the timer checks the jobs behind it anyway.
    """
    before, row = change.before, change.after
    concurrency_key = before.concurrency_key
    if concurrency_key is None:
        concurrency_key = row.concurrency_key
    frees_slot = row.slot != before.slot
    has_moved = row.wait_key != before.wait_key and row.status is not Status.FAILED
    needs_check = frees_slot or has_moved or thorough or not change.is_known
    if concurrency_key is None or not needs_check:
        return
    # Imported here because most jobs wait in no line.
    from job_runners.engine.lines import admission

    admission.admit_waiting(row.queue_name, concurrency_key, send, thorough=thorough)
