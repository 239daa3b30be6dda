"""The end of a group: continue the job that waits for it, once no member is left."""

from job_runners.engine.telemetry import telemetry
from job_runners.errors import PreconditionFailed
from job_runners.store import groups
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import ROW_VERSION, JobRequest, Status
from job_runners.store.queries import read
from job_runners.store.transitions import group_waits


def finish(parent_id: str) -> Change | None:
    """Admit a job if it waits for a group of which no marker is left.

    If it is to be canceled with its members, cancel it instead. Return None if it still waits.
    The parent is read before the markers. So the admission is refused if the parent began to wait
    again, or if a member was retried, after these markers were read.
    """
    parent = read(parent_id)
    if parent is None or not parent.awaits_group or parent.row_version > ROW_VERSION:
        return None
    if not groups.is_finished(groups.awaited_group(parent)):
        return None
    try:
        if parent.cancel_members:
            change = group_waits.cancel_parent(parent)
            telemetry.canceled_by_caller(change.after)
        else:
            change = group_waits.finish_group(parent)
            telemetry.admitted(change.after)
    except PreconditionFailed as lost:
        telemetry.race_lost(lost)
        return None
    return change


def note_failure(row: JobRequest) -> None:
    """Record in its group that a member has ended, if it has failed or was canceled."""
    if row.status is Status.CANCELED:
        groups.note_canceled(str(row.member_of), row.id)
    elif row.status is Status.FAILED:
        groups.note_failed(str(row.member_of), row.id)
