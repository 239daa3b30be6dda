"""Count failed jobs in their error groups.

This is done after the end of a job is recorded. It is never a reason for an end to fail, and must
not delay anything: if AWS doesn't accept a count at once, the count is lost.
"""

from job_runners import caches, clock
from job_runners.aws.clients import without_retries
from job_runners.aws.errors import AWS_ERRORS
from job_runners.engine.telemetry import telemetry
from job_runners.store import error_groups
from job_runners.store.job_request import JobRequest, new_id
from job_runners.values import Value

_GAP = clock.SECOND  # between two writes of this process to one group
_REST = 10 * clock.SECOND  # after an error of AWS, this process writes to no group for this long
_MOST_KEPT = 1000  # groups whose last writes this process remembers


class _Last(Value):
    """This process's last write to a group. `waiting` failures weren't counted since.

    `unheard` is the id of a group that the write may have created without an answer.
    """

    at: int = 0
    waiting: int = 0
    unheard: str | None = None


class _Writes:
    """This process's last writes, by organization and fingerprint."""

    def __init__(self) -> None:
        self.last: dict[tuple[str, str], _Last] = {}
        self.not_before = 0


_writes = _Writes()


def note(ended: JobRequest) -> None:
    """Count a failed job in its group. Report a new group, and a resolved one that fails again."""
    key = (ended.organization_id, error_groups.fingerprint_of(ended).key)
    last, now = _writes.last.pop(key, _Last()), clock.now()
    number = last.waiting + 1
    if len(_writes.last) >= _MOST_KEPT:
        _writes.last = {}
    _writes.last[key] = last.__replace__(waiting=number)
    if 0 <= now - last.at < _GAP or now < _writes.not_before <= now + _REST:
        return
    group_id = last.unheard or new_id()
    _writes.last[key] = _Last(now, number, group_id)
    try:
        with without_retries():
            _count(ended, number, group_id)
    except AWS_ERRORS as error:
        _writes.not_before = clock.now() + _REST
        telemetry.failure_not_counted(error)
    else:
        _writes.last[key] = _Last(now)


@caches.register
def _forget() -> None:
    _writes.last = {}
    _writes.not_before = 0


def _count(ended: JobRequest, number: int, group_id: str) -> None:
    group = error_groups.add(ended, number, group_id)
    if group.id == group_id:
        telemetry.failure_is_new(ended, group.id)
    elif _is_back(group, ended) and error_groups.mark_regressed(group):
        telemetry.failure_regressed(ended, group.id)


def _is_back(group: error_groups.ErrorGroup, ended: JobRequest) -> bool:
    """Return whether the group was resolved before the job ended."""
    return group.resolved_at is not None and group.resolved_at < (ended.finished_at or 0)
