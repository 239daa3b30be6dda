"""Count failed jobs by error group. A group contains the jobs that failed in the same way.

A job is counted after its end is recorded. Counting must not delay or fail anything else. So this
calls AWS without retries, and at most once per second for each group. Failures in between are added
to the next write. If there is no next write, they are lost.
"""

from job_runners import caches, clock
from job_runners.aws.clients import without_retries
from job_runners.aws.errors import AWS_ERRORS
from job_runners.engine.telemetry import telemetry
from job_runners.store import error_groups
from job_runners.store.job_request import JobRequest, new_id
from job_runners.values import Value

_MIN_WRITE_GAP = clock.SECOND  # the shortest time between two writes of this process to a group
_ERROR_DELAY = 10 * clock.SECOND  # how long this process writes to no group after AWS has failed
_MAX_CACHED = 1000  # groups whose last write this process remembers


class _LastWrite(Value):
    """This process's last write to a group."""

    at: int = 0
    uncounted: int = 0  # the number of failures since then
    # The id of the group that the write may have created. It is set if AWS didn't confirm the
    # write. The next write uses it again, so that a new group is still recognized as new.
    unconfirmed_id: str | None = None


class _State:
    """What this process remembers of its writes to all groups."""

    def __init__(self) -> None:
        self.last_writes: dict[tuple[str, str], _LastWrite] = {}  # by organization and fingerprint
        self.paused_until = 0  # no writes before this time, because AWS has failed


_state = _State()


def count_failure(row: JobRequest) -> None:
    """Count a failed job in its group, unless this process has just written to the group.

    In that case, the next write counts the job too. Report a new group, and a resolved group whose
    jobs fail again.
    """
    key = (row.organization_id, error_groups.fingerprint_of(row).key)
    now = clock.now()
    # Take the entry out, so that a known group never makes a full dict be emptied.
    last = _state.last_writes.pop(key, _LastWrite())
    uncounted = last.uncounted + 1
    if len(_state.last_writes) >= _MAX_CACHED:
        _state.last_writes = {}
    _state.last_writes[key] = last.__replace__(uncounted=uncounted)
    # The bounds `0 <=` and `<= now + _ERROR_DELAY` are for a clock that was set back.
    has_just_written = 0 <= now - last.at < _MIN_WRITE_GAP
    is_paused = now < _state.paused_until <= now + _ERROR_DELAY
    if has_just_written or is_paused:
        return
    # Until AWS confirms the write, the failures stay uncounted, and the id stays unconfirmed.
    group_id = last.unconfirmed_id or new_id()
    _state.last_writes[key] = _LastWrite(now, uncounted, group_id)
    try:
        with without_retries():
            _add_to_group(row, uncounted, group_id)
    except AWS_ERRORS as error:
        _state.paused_until = clock.now() + _ERROR_DELAY
        telemetry.failure_not_counted(error)
    else:
        _state.last_writes[key] = _LastWrite(now)


@caches.register
def _forget() -> None:
    _state.last_writes = {}
    _state.paused_until = 0


def _add_to_group(row: JobRequest, failures: int, group_id: str) -> None:
    """Add failures to the job's group. If the group doesn't exist, create it with this id."""
    group = error_groups.add(row, failures, group_id)
    if group.id == group_id:
        telemetry.new_failure(row, group.id)
    elif _was_resolved(group, row) and error_groups.mark_regressed(group):
        telemetry.new_failure(row, group.id, was_resolved=True)


def _was_resolved(group: error_groups.ErrorGroup, row: JobRequest) -> bool:
    """Return whether the group was resolved before the job ended."""
    return group.resolved_at is not None and group.resolved_at < (row.finished_at or 0)
