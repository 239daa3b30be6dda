"""Finish a group: continue the job that waits for it (the *parent*) when all members have ended.

Each member that hasn't ended has a *marker*, an item of its own in the table.
"""

from job_runners.engine.telemetry import telemetry
from job_runners.errors import PreconditionFailed
from job_runners.store import groups
from job_runners.store.conditional_write import Change
from job_runners.store.job_request import ROW_VERSION, JobRequest, Status
from job_runners.store.queries import read
from job_runners.store.transitions import group_waits


def finish(parent_id: str) -> Change | None:
    """Let a parent continue if no marker of its group is left. Return None if it still waits.

    If a caller has canceled the parent with its members, cancel it instead.

    This reads the parent before the markers. So the write is refused if a member was retried, or if
    the parent began to wait again, after the markers were read.
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
    """If a member failed or was canceled, record that in its group."""
    if row.status is Status.CANCELED:
        groups.note_canceled(str(row.member_of), row.id)
    elif row.status is Status.FAILED:
        groups.note_failed(str(row.member_of), row.id)
