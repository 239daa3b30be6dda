"""Find the cause of a job's wait, and the job's position among those with the same cause."""

from collections.abc import Sequence
from typing import NamedTuple

from job_runners.store import waiting
from job_runners.store.job_request import JobRequest, job_id_of
from job_runners.store.line_items import WAITING
from job_runners.store.pauses import Kind
from job_runners.store.waiting import WaitingCount
from job_runners.work.queues import WHOLE_QUEUE, Queue

LINE = "line"
JOB = "job"
TIME = "time"
SIGNAL = "signal"
GROUP = "group"
KINDS = (*Kind, LINE, JOB, TIME, SIGNAL, GROUP)


class WaitsFor(NamedTuple):
    """The cause of a job's wait: a pause, its turn in a line, another job with its unique key, or a
    wait in its own function.

    `kind` is "job_type", "queue", "line", "job", "time", "signal" or "group". `name` is the name of
    the job type or queue, the id of the other job, or the name of the wait or group. `key` is the
    key of the line, and None for the other kinds. A wait in the job's own function began at `since`
    and ends at `until`. For a signal, `names` are the signals, any of which ends the wait.
    """

    kind: str
    name: str
    key: str | None = None
    since: int | None = None
    until: int | None = None
    names: list[str] | None = None

    @property
    def has_position(self) -> bool:
        """Return whether other jobs may be ahead of the job."""
        return self.until is None


class Place(NamedTuple):
    """The position of a job. `ahead` describes the jobs before it, if the job has a position.

    If the job waits for signals and the caller may send them, `questions` has one for each.

    `of_organization` is True if `ahead` counts only jobs of this job's organization. That is so if
    organizations take turns in the line, or if the caller isn't allowed to know about the jobs of
    other organizations.
    """

    waits_for: WaitsFor | None = None
    ahead: WaitingCount | None = None
    of_organization: bool = False
    questions: "list[Question] | None" = None


class Question(NamedTuple):
    """A signal that a job waits for. The job's link for it has the text and the choices, if the job
    made one."""

    name: str
    text: str | None = None
    choices: Sequence[str] = ()


def waits_for(row: JobRequest) -> WaitsFor | None:
    """Return the cause of a job's wait.

    Return None if it doesn't wait, or if only newer code knows the cause.
    """
    if row.follows is not None:
        return WaitsFor(JOB, job_id_of(row.follows))
    if row.current_wait and (own := _own_wait(row)) is not None:
        return own
    kind, _, name = (row.held_by or "").partition("#")
    if kind in list(Kind):
        return WaitsFor(kind, name)
    if kind == LINE:
        name, _, key = name.partition("#")  # no name or key contains "#"
        return WaitsFor(kind, name, key)
    return None


def _own_wait(row: JobRequest) -> WaitsFor | None:
    from job_runners.store import current_wait  # imported here because most jobs don't wait

    wait = current_wait.of(row)
    if wait is None:
        return None
    names = wait.names if wait.kind == current_wait.SIGNAL else None
    return WaitsFor(wait.kind, wait.name, None, wait.since, wait.until, names)


def without_payload(found: WaitsFor | None, row: JobRequest) -> WaitsFor | None:
    """Return the cause of a job's wait, without its key if the key may be a value of the payload.

    Every key may be one, except those of the whole queue and of the job's organization.
    """
    if found is None or found.key in _keys_without_payload(row):
        return found
    return found._replace(key=None)


def _keys_without_payload(row: JobRequest) -> set[str]:
    own = Queue(slots=1, per="organization_id").key_of(row.organization_id, None)
    return {WHOLE_QUEUE, own}


def place_of(row: JobRequest, seen_by: str | None) -> Place:
    """Return the position of a job, as far as the caller is allowed to know it.

    `seen_by` is the caller's organization, or None for a service.
    """
    found = waits_for(row)
    if found is None or not found.has_position:
        return Place(found)
    own_group = (row.wait_key or "").startswith(f"{WAITING}{row.organization_id}#")
    counts_own = own_group or (seen_by is not None and row.follows is None)
    return Place(found, waiting.count_ahead(row, seen_by), counts_own)
