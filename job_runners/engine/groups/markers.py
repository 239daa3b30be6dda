"""Finish a group when all its members have ended, and delete its leftover markers.

A *parent* is a job that waits for a group of jobs, its *members*. Each member that hasn't ended has
a *marker*, an item of its own in the table. A marker is *left over* if the process that recorded
the member's end was killed before it could delete the marker. A group's markers are spread over
several partitions of the table, its *shards*.
"""

from pynamodb.exceptions import PynamoDBException

from job_runners import clock
from job_runners.aws.errors import is_conflict
from job_runners.engine.telemetry import telemetry
from job_runners.errors import PreconditionFailed
from job_runners.store import groups
from job_runners.store.conditional_write import Change
from job_runners.store.groups import GroupItem
from job_runners.store.job_request import ROW_VERSION, JobRequest, Status
from job_runners.store.queries import read, read_many
from job_runners.store.transactions import RaceLost, RecordWrite, write_all
from job_runners.store.transitions import group_waits

_PAGE_SIZE = 100  # markers to read at a time
# How many pages of each shard one check reads. If more than 1,000 members of a shard are
# unfinished, some leftover markers may stay for now, because the parent must wait anyway.
_MAX_PAGES = 10
_MAX_CHECK_GAP = 10 * clock.MINUTE
_MAX_CHECK_GAP_AFTER_A_DAY = clock.HOUR
# An invocation writes a member's marker first, and then its row. After this time, Lambda has
# certainly ended the invocation, so it won't write the row any more.
_MAX_DISPATCH_TIME = 35 * clock.MINUTE


def finish(parent_id: str) -> Change | None:
    """Let a parent continue if no marker of its group is left. Return None if it still waits.

    If a caller has canceled the parent with its members, cancel it instead.

    The order matters: this reads the parent first, and then the markers. If a member is retried or
    the parent begins to wait again after the first read, the parent's row has changed, so the write
    is refused.
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
    """If a member failed or was canceled, record this in its group."""
    if row.status is Status.CANCELED:
        groups.note_canceled(str(row.member_of), row.id)
    elif row.status is Status.FAILED:
        groups.note_failed(str(row.member_of), row.id)


def sweep(parent: JobRequest) -> None:
    """Delete the leftover markers of the group that a job waits for."""
    for partition in groups.awaited_group(parent).partitions:
        _sweep_shard(partition)


def next_check(parent: JobRequest) -> int:
    """Return when the timer checks a group again.

    The time until then is as long as the parent has waited so far, but at least one minute and at
    most ten. Once the parent has waited for a day, it is at most an hour. While the members are
    being canceled, it is a minute.
    """
    if parent.cancel_members:
        return clock.now() + clock.MINUTE
    waited = clock.now() - (parent.waiting_since or clock.now())
    max_gap = _MAX_CHECK_GAP_AFTER_A_DAY if waited >= clock.DAY else _MAX_CHECK_GAP
    gap = max(waited, clock.MINUTE)
    return clock.now() + min(gap, max_gap)


def _sweep_shard(partition: str) -> None:
    """Delete the leftover markers of a shard.

    Markers of members that haven't ended stay. They may come before leftover markers, so go on to
    the next page.
    """
    last_member_id = ""
    for _ in range(_MAX_PAGES):
        markers = groups.first_markers(partition, _PAGE_SIZE, last_member_id)
        rows = read_many((marker.member_id for marker in markers), fresh=True)
        for marker in markers:
            delete_if_ended(marker, rows.get(marker.member_id))
        if len(markers) < _PAGE_SIZE:
            return
        last_member_id = markers[-1].member_id


def delete_if_ended(marker: GroupItem, row: JobRequest | None) -> bool:
    """Delete a marker if its member has ended or is gone. Return whether it was deleted.

    The transaction checks that the row and the marker haven't changed since they were read. Without
    this check, a member that was retried in the meantime could lose its marker.
    """
    if row is None:
        if clock.now() < marker.written_at + _MAX_DISPATCH_TIME:
            return False  # an invocation may be about to save the row
        # An expired row counts as gone. DynamoDB deletes it up to days later.
        now = clock.now() // clock.SECOND  # `expires_at` is in seconds
        is_unchanged = JobRequest.id.does_not_exist() | (JobRequest.expires_at <= now)
    else:
        if not row.status.finished:
            return False
        note_failure(row)
        is_unchanged = JobRequest.finished_at == row.finished_at  # a retry removes `finished_at`
    row_check = RecordWrite(JobRequest(id=marker.member_id), "check", condition=is_unchanged)
    try:
        write_all([groups.write_to_delete_marker(marker), row_check])
    except RaceLost as lost:
        telemetry.race_lost(lost)
        return False
    except PynamoDBException as error:
        if not is_conflict(error):
            raise
        telemetry.race_lost(error)
        return False
    return True
