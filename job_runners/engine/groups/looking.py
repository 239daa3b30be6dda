"""The timer's check of a group: delete the markers of members that have ended."""

from pynamodb.exceptions import PynamoDBException

from job_runners import clock
from job_runners.aws.errors import is_conflict
from job_runners.engine.groups import finishing
from job_runners.engine.telemetry import telemetry
from job_runners.store import groups
from job_runners.store.groups import GroupItem
from job_runners.store.job_request import JobRequest
from job_runners.store.queries import read_many
from job_runners.store.transactions import RaceLost, RecordWrite, write_all

_PAGE = 100  # markers of a shard that are read at a time
# Of a shard in one look. While more than 1,000 of its members are unfinished, some leftover markers
# may stay, but the parent can't continue anyway.
_MOST_PAGES = 10
_LONGEST_GAP = 10 * clock.MINUTE
_GAP_AFTER_A_DAY = clock.HOUR
# An invocation puts a member's marker before its row. After this time, no invocation is between the
# two: Lambda ends an invocation after 30 minutes at the latest.
_LONGEST_DISPATCH = 35 * clock.MINUTE


def sweep(parent: JobRequest) -> None:
    """Delete the leftover markers of the group that a job waits for."""
    for partition in groups.awaited_group(parent).partitions:
        _sweep(partition)


def next_look(parent: JobRequest) -> int:
    """Return when the timer checks a group again.

    The gap grows from a minute to ten. Once the parent has waited for a day, it is an hour. While
    the members are canceled, it is a minute.
    """
    if parent.cancel_members:
        return clock.now() + clock.MINUTE
    waited = clock.now() - (parent.waiting_since or clock.now())
    longest = _GAP_AFTER_A_DAY if waited >= clock.DAY else _LONGEST_GAP
    return clock.now() + min(max(waited, clock.MINUTE), longest)


def _sweep(partition: str) -> None:
    """Delete the leftover markers of a shard, also those behind markers of unfinished members."""
    after = ""
    for _ in range(_MOST_PAGES):
        markers = groups.first_markers(partition, _PAGE, after)
        rows = read_many((each.member_id for each in markers), fresh=True)
        for each in markers:
            delete_if_ended(each, rows.get(each.member_id))
        if len(markers) < _PAGE:
            return
        after = markers[-1].member_id


def delete_if_ended(marker: GroupItem, row: JobRequest | None) -> bool:
    """Delete a marker if its member has ended or is gone. Return whether it was deleted.

    The transaction checks that the row and the marker are as read. Otherwise a member that was
    retried in the meantime could lose its marker. If a member has no row yet, an invocation that
    was canceled and retried may be about to save it.
    """
    if row is not None and not row.status.finished:
        return False
    if row is None and clock.now() < marker.put_at + _LONGEST_DISPATCH:
        return False
    if row is not None:
        finishing.note_failure(row)
    if row is None:  # DynamoDB deletes a row up to days after its TTL
        now = clock.now() // clock.SECOND
        as_read = JobRequest.id.does_not_exist() | (JobRequest.expires_at <= now)
    else:
        as_read = JobRequest.finished_at == row.finished_at  # a retry removes it
    row_check = RecordWrite(JobRequest(id=marker.member_id), "check", condition=as_read)
    try:
        write_all([groups.sweep_write(marker), row_check])
    except RaceLost as lost:
        telemetry.race_lost(lost)
        return False
    except PynamoDBException as error:
        if not is_conflict(error):
            raise
        telemetry.race_lost(error)
        return False
    return True
