"""Find out why a job waits, and its *place*: how many jobs are ahead of it.

A *line* consists of the jobs that wait under one concurrency key of a queue with limits, in order.
A job may also wait *in its function*, which has asked to wait for a time, a signal or other jobs.
"""

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


class WaitReason(NamedTuple):
    """Why a job waits. The times are in milliseconds since 1970."""

    kind: str  # one of KINDS
    # The name of the paused job type or queue, of the line's queue, or of the wait in the function.
    # If the job follows another one (JOB), the id of that job.
    name: str
    key: str | None = None  # the concurrency key of the line
    # The other fields are set only if the job waits in its own function.
    since: int | None = None
    until: int | None = None
    names: list[str] | None = None  # for SIGNAL: the signals, any of which ends the wait

    @property
    def has_position(self) -> bool:
        """Return whether other jobs may be ahead. In a wait in the job's function, none can be."""
        return self.until is None


class Place(NamedTuple):
    """A job's position among the jobs that wait for the same reason."""

    waits_for: WaitReason | None = None
    ahead: WaitingCount | None = None  # the jobs ahead of it, or None if the wait has no positions
    # Whether `ahead` counts only jobs of the same organization, because organizations take turns in
    # the line, or because the caller may not know about other organizations' jobs.
    of_organization: bool = False
    questions: "list[SignalQuestion] | None" = None  # only for callers that may send signals


class SignalQuestion(NamedTuple):
    """A signal that a job waits for.

    `text` and `choices` come from the link that the job has made to get an answer, if any.
    """

    name: str
    text: str | None = None
    choices: Sequence[str] = ()


def wait_reason(row: JobRequest) -> WaitReason | None:
    """Return why a job waits, or None if it doesn't wait or if only newer code knows the reason."""
    if row.follows is not None:
        return WaitReason(JOB, job_id_of(row.follows))
    if row.current_wait:
        wait = _wait_in_function(row)
        if wait is not None:
            return wait
    # `held_by` is "job_type#NAME", "queue#NAME" or "line#QUEUE#KEY". No name or key contains "#".
    kind, _, name = (row.held_by or "").partition("#")
    if kind in (Kind.JOB_TYPE, Kind.QUEUE):
        return WaitReason(kind, name)
    if kind == LINE:
        queue_name, _, key = name.partition("#")
        return WaitReason(kind, queue_name, key)
    return None


def _wait_in_function(row: JobRequest) -> WaitReason | None:
    from job_runners.store import current_wait  # imported here because most jobs don't wait

    wait = current_wait.of(row)
    if wait is None:
        return None
    names = list(wait.names) if wait.kind == SIGNAL else None
    return WaitReason(wait.kind, wait.name, since=wait.since, until=wait.until, names=names)


def without_payload_key(reason: WaitReason | None, row: JobRequest) -> WaitReason | None:
    """Return a wait reason without the concurrency key, if the key may be a value of the payload.

    Only two keys are never such a value: the key of a whole queue, and the key of the job's
    organization.
    """
    # The slots of this queue don't matter: all queues with this `per` have the same keys.
    queue_per_organization = Queue(slots=1, per="organization_id")
    organization_key = queue_per_organization.key_of(row.organization_id, payload=None)
    if reason is None or reason.key in (WHOLE_QUEUE, organization_key):
        return reason
    return reason._replace(key=None)


def place_of(row: JobRequest, seen_by: str | None) -> Place:
    """Return the place of a job, as far as the caller may know it.

    `seen_by` is the caller's organization. None stands for a service, which sees all jobs.
    """
    reason = wait_reason(row)
    if reason is None or not reason.has_position:
        return Place(reason)
    # In a fair line, where organizations take turns, the wait key has the organization's id.
    takes_turns = (row.wait_key or "").startswith(f"{WAITING}{row.organization_id}#")
    hides_others = seen_by is not None and row.follows is None
    ahead = waiting.count_ahead(row, seen_by)
    return Place(reason, ahead, of_organization=takes_turns or hides_others)
