"""Continue a job once all members of its group have ended.

When a member ends, first record its failure, if it failed, and then delete its marker. The process
that finds no marker left admits the owner, the job that waits. An extra message does no harm,
because the owner's next leg reads its row again.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from job_runners import clock
from job_runners.aws.errors import retry_until
from job_runners.engine.lines import admission
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.sending import Send, send_after_end, send_or_leave_due
from job_runners.errors import PreconditionFailed
from job_runners.store import group_failures, groups, owner_verbs
from job_runners.store.job_request import ROW_VERSION, JobRequest, Status
from job_runners.store.queries import PAGE_LIMIT, read, read_many
from job_runners.store.verbs import group_waits

_PATIENCE = 3 * clock.SECOND  # how long to retry failing calls; then the work is left to the timer
_THREADS = 16  # that cancel members
_CANCEL_TIME = 10 * clock.SECOND  # how long one process cancels members; the timer does the rest


def member_ended(row: JobRequest, send: Send) -> None:
    """Record in its group that a member has ended. If it was the last one, continue the owner.

    Errors are only logged, because the caller has recorded the end. The timer then does this later.
    """
    try:
        retry_until(clock.now() + _PATIENCE, lambda: _member_ended(row, send))
    except Exception as error:  # noqa: BLE001 - the caller must continue
        telemetry.crashed(error)


def owner_parked(owner: JobRequest, send: Send) -> None:
    """Check the group of a job that has just begun to wait for it. Errors are only logged."""
    try:
        stop_members(owner, send)
        check(owner.id, send)
    except Exception as error:  # noqa: BLE001 - the leg has ended, and the timer checks again
        telemetry.crashed(error)


def check(owner_id: str, send: Send) -> bool:
    """Admit a job if it waits for a group of which no marker is left.

    If it is to be canceled with its members, cancel it instead. Return whether it stopped waiting.
    The owner is read before the markers. So the admission is refused if the owner began to wait
    again, or if a member was retried, after these markers were read.
    """
    owner = read(owner_id)
    if owner is None or not owner.awaits_group or owner.row_version > ROW_VERSION:
        return False
    if not groups.is_finished(groups.awaited_by(owner)):
        return False
    try:
        if owner.cancel_members:
            _owner_canceled(group_waits.cancel_owner(owner), send)
            return True
        admitted = group_waits.finish_group(owner)
    except PreconditionFailed as lost:
        telemetry.race_lost(lost)
        return False
    telemetry.admitted(admitted)
    send_or_leave_due(admitted, send)
    return True


def stop_members(owner: JobRequest, send: Send) -> None:
    """Cancel the open members of a waiting job that is to be canceled with them.

    For other jobs, if at least `stop_after` members have failed, cancel those that haven't started.
    Those that were retried by hand go on.
    """
    group, stop_after = groups.awaited_by(owner), _stop_after(owner)
    stops = stop_after is not None and group_failures.have_reached(group, stop_after)
    if not (owner.cancel_members or stops):
        return
    until = clock.now() + _CANCEL_TIME
    for partition in group.partitions:
        _cancel_in(partition, until, owner, send)


def _stop_after(owner: JobRequest) -> int | None:
    """Return the number of failures after which a waiting job's members are canceled."""
    return (owner.waits_for or {}).get("stop_after")


def _cancel_in(partition: str, until: int, owner: JobRequest, send: Send) -> None:
    after = ""
    while clock.now() < until:
        markers = groups.first_markers(partition, PAGE_LIMIT, after)
        rows = read_many((each.member_id for each in markers), fresh=True).values()
        _in_threads(partial(_cancel, owner=owner, send=send), rows)
        if len(markers) < PAGE_LIMIT:
            return
        after = markers[-1].member_id


def _in_threads(call: Callable[[JobRequest], None], rows: Iterable[JobRequest]) -> None:
    if _THREADS == 1:
        for row in rows:
            call(row)
        return
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="cancel") as pool:
        list(pool.map(call, rows))


def _owner_canceled(owner: JobRequest, send: Send) -> None:
    telemetry.cancelled_by_owner(owner)
    send_after_end(owner, send)
    if owner.member_of is not None:  # another job may wait for it
        member_ended(owner, send)


def _cancel(row: JobRequest, *, owner: JobRequest, send: Send) -> None:
    if row.status.finished:
        return
    if not owner.cancel_members and (row.has_begun or groups.is_retried(row)):
        return
    with suppress(PreconditionFailed):  # it has started or ended
        if row.status is Status.RUNNING:
            telemetry.cancelled_by_owner(owner_verbs.request_cancel(row, by=owner.cancelled_by))
            return
        canceled = owner_verbs.cancel(row, by=owner.cancelled_by)
        telemetry.cancelled_by_owner(canceled)
        send_after_end(canceled, send)
        member_ended(canceled, send)
        admission.admit_waiting_after(row, send)


def _member_ended(row: JobRequest, send: Send) -> None:
    note_failure(row)
    groups.drop_marker(str(row.member_of), row.id, row.member_mark)
    if not groups.has_open_member(row) and check(str(row.parent_id), send):
        return
    if row.status is Status.FAILED:
        _member_failed(row, send)


def note_failure(row: JobRequest) -> None:
    """Record in its group that a member has ended, if it has failed or was canceled."""
    if row.status is Status.CANCELLED:
        groups.note_canceled(str(row.member_of), row.id)
    elif row.status is Status.FAILED:
        groups.note_failed(str(row.member_of), row.id)


def _member_failed(row: JobRequest, send: Send) -> None:
    """Stop the members of a group after a failure, if that was the last one that is allowed."""
    owner = read(str(row.parent_id))
    if owner is None or not owner.awaits_group or owner.cancel_members:
        return
    group, stop_after = groups.awaited_by(owner), _stop_after(owner)
    if stop_after is None or group.id != groups.id_of(row):
        return
    if group_failures.note_another(group) >= stop_after:
        stop_members(owner, send)
