"""Handle the end of a group's member, and continue the job that waits for the group.

The waiting job is the *parent*. Each member that hasn't ended has a *marker*, an item in the table.
A process that ends a member records the end in the member's row, and then deletes the marker. If
the member failed, the process records the failure in the group before it deletes the marker. A
process that finds no marker left lets the parent continue. Two processes may do so for the same
parent, which does no harm, because the parent's next invocation reads its row again.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from job_runners import clock
from job_runners.aws.errors import retry_until
from job_runners.engine.groups import markers
from job_runners.engine.telemetry import telemetry
from job_runners.errors import PreconditionFailed
from job_runners.store import caller_transitions, group_failures, groups
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.queries import PAGE_LIMIT, read, read_many

_RETRY_TIME = 3 * clock.SECOND  # how long to retry failing calls before the timer takes over
_THREADS = 16  # threads that cancel members
# How long one process cancels members, at most. The timer cancels the rest.
_CANCEL_TIME = 10 * clock.SECOND

# A function that does everything that follows from a transition: see `settle.settle`.
Settle = Callable[[Change], None]


def record_member_end(row: JobRequest, settle: Settle) -> None:
    """Record in its group that a member has ended. If it was the last one, continue the parent.

    Errors are only logged, because the member's row already stores its end, and the timer checks
    the group again.
    """
    try:
        retry_until(clock.now() + _RETRY_TIME, lambda: _record_member_end(row, settle))
    except Exception as error:  # noqa: BLE001 - the caller must continue
        telemetry.crashed(error)


def check_new_wait(parent: JobRequest, settle: Settle) -> None:
    """Check the group of a job that has just begun to wait for it. Errors are only logged."""
    try:
        check(parent, settle)
    except Exception as error:  # noqa: BLE001 - the timer checks again
        telemetry.crashed(error)


def check(parent: JobRequest, settle: Settle) -> bool:
    """Cancel members if they must stop, and continue the parent if all members have ended.

    Members must stop if too many have failed, or if a caller has canceled the parent with them.
    Return whether the parent continues.
    """
    _stop_members(parent, settle)
    return _continue_parent(parent.id, settle)


def _continue_parent(parent_id: str, settle: Settle) -> bool:
    change = markers.finish(parent_id)
    if change is None:
        return False
    settle(change)
    return True


def _record_member_end(row: JobRequest, settle: Settle) -> None:
    """Delete the member's marker. Then continue the parent, or check whether members must stop."""
    markers.note_failure(row)
    groups.drop_marker(str(row.member_of), row.id, row.member_mark)
    # If the member's own shard still has a marker, there is no need to read the other shards.
    if not groups.shard_has_marker(row) and _continue_parent(str(row.parent_id), settle):
        return
    if row.status is Status.FAILED:
        _stop_after_failure(row, settle)


def _stop_after_failure(row: JobRequest, settle: Settle) -> None:
    """Cancel the other members if the parent's limit of failures is reached.

    Do nothing if the parent doesn't wait for this member's group.
    """
    parent = read(str(row.parent_id))
    if parent is None or not parent.awaits_group or parent.cancel_members:
        return
    group = groups.awaited_group(parent)
    stop_after = _stop_after(parent)
    if stop_after is None or group.id != groups.group_id_of(row):
        return
    if group_failures.add_failure(group) >= stop_after:
        _stop_members(parent, settle)


def _stop_members(parent: JobRequest, settle: Settle) -> None:
    """Cancel members if a caller has canceled the parent with its members, or too many have failed.

    If a caller has canceled the parent, cancel all members that haven't ended. If too many members
    have failed, cancel only the members that haven't started and weren't retried manually.
    """
    group = groups.awaited_group(parent)
    has_too_many_failures = _has_too_many_failures(parent, group)
    if not (parent.cancel_members or has_too_many_failures):
        return
    until = clock.now() + _CANCEL_TIME
    for partition in group.partitions:
        _cancel_members(partition, until, parent, settle)


def _has_too_many_failures(parent: JobRequest, group: groups.Group) -> bool:
    """Return whether too many members have failed. If so, record that the group is stopped."""
    stop_after = _stop_after(parent)
    return stop_after is not None and group_failures.is_limit_reached(group, stop_after)


def _stop_after(parent: JobRequest) -> int | None:
    """Return after how many failures the other members are canceled, or None for no limit."""
    return (parent.current_wait or {}).get("stop_after")


def _cancel_members(partition: str, until: int, parent: JobRequest, settle: Settle) -> None:
    """Cancel the members that have a marker in one partition of the group."""
    last_id = ""
    while clock.now() < until:
        page = groups.first_markers(partition, PAGE_LIMIT, last_id)
        rows = read_many((marker.member_id for marker in page), fresh=True).values()
        _in_threads(partial(_cancel, parent=parent, settle=settle), rows)
        if len(page) < PAGE_LIMIT:
            return
        last_id = page[-1].member_id


def _in_threads(call: Callable[[JobRequest], None], rows: Iterable[JobRequest]) -> None:
    if _THREADS == 1:
        for row in rows:
            call(row)
        return
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="cancel") as pool:
        list(pool.map(call, rows))


def _cancel(row: JobRequest, *, parent: JobRequest, settle: Settle) -> None:
    """Cancel a member, or ask it to stop if it is running. See `_stop_members` for exceptions."""
    if row.status.finished:
        return
    if not parent.cancel_members and (row.has_begun or groups.is_retried(row)):
        return
    is_running = row.status is Status.RUNNING
    cancel = caller_transitions.request_cancel if is_running else caller_transitions.cancel
    # The write is refused if the member has started or ended in the meantime.
    with suppress(PreconditionFailed):
        change = cancel(row, by=parent.canceled_by)
        telemetry.canceled_by_caller(change.after)
        settle(change)
