"""Find out why a job waits, and how many jobs are ahead of it.

A *line* consists of the jobs that wait for the limits of a queue under one concurrency key, in
order.
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


class WaitsFor(NamedTuple):
    """The reason why a job waits."""

    kind: str  # one of KINDS: a pause's kind, or one of the constants above
    # The name of the paused job type or queue, of the line's queue, or of the wait in the function;
    # for JOB, the id of the other job.
    name: str
    key: str | None = None  # the key of the line
    # The other fields are set only if the job waits in its own function.
    since: int | None = None  # milliseconds since 1970
    until: int | None = None  # milliseconds since 1970
    names: list[str] | None = None  # the signals, any of which ends the wait

    @property
    def has_position(self) -> bool:
        """Return whether other jobs may be ahead: not if the job waits in its own function."""
        return self.until is None


class Place(NamedTuple):
    """A job's position among the jobs that wait for the same reason."""

    waits_for: WaitsFor | None = None
    ahead: WaitingCount | None = None  # the jobs ahead of it; None if its wait has no positions
    # Whether `ahead` counts only jobs of its organization, because organizations take turns in the
    # line, or because the caller may not know about the jobs of others.
    of_organization: bool = False
    questions: "list[SignalQuestion] | None" = None  # only for callers that may send signals


class SignalQuestion(NamedTuple):
    """A signal that a job waits for.

    `text` and `choices` are those of the job's link for it, if the job has created one.
    """

    name: str
    text: str | None = None
    choices: Sequence[str] = ()


def waits_for(row: JobRequest) -> WaitsFor | None:
    """Return the reason why a job waits.

    Return None if it doesn't wait, or if it waits for a reason that only newer code knows.
    """
    if row.follows is not None:
        return WaitsFor(JOB, job_id_of(row.follows))
    if row.current_wait:
        wait = _wait_in_function(row)
        if wait is not None:
            return wait
    # `held_by` is "job_type#NAME", "queue#NAME" or "line#QUEUE#KEY". No name or key contains "#".
    kind, _, name = (row.held_by or "").partition("#")
    if kind in (Kind.JOB_TYPE, Kind.QUEUE):
        return WaitsFor(kind, name)
    if kind == LINE:
        queue_name, _, key = name.partition("#")
        return WaitsFor(kind, queue_name, key)
    return None


def _wait_in_function(row: JobRequest) -> WaitsFor | None:
    from job_runners.store import current_wait  # imported here because most jobs don't wait

    wait = current_wait.of(row)
    if wait is None:
        return None
    names = list(wait.names) if wait.kind == current_wait.SIGNAL else None
    return WaitsFor(wait.kind, wait.name, key=None, since=wait.since, until=wait.until, names=names)


def without_payload_key(reason: WaitsFor | None, row: JobRequest) -> WaitsFor | None:
    """Return the reason why a job waits, without its key if that may be a value of the payload.

    Only two keys are never values of a payload: the key of a whole queue, and the key of the job's
    organization.
    """
    if reason is None or reason.key in _keys_without_payload(row):
        return reason
    return reason._replace(key=None)


def _keys_without_payload(row: JobRequest) -> set[str]:
    # Every queue with this `per` has the same keys, whatever its limits are.
    any_queue = Queue(slots=1, per="organization_id")
    return {WHOLE_QUEUE, any_queue.key_of(row.organization_id, payload=None)}


def place_of(row: JobRequest, seen_by: str | None) -> Place:
    """Return the position of a job, as far as the caller is allowed to know it.

    `seen_by` is the caller's organization, or None for a service.
    """
    reason = waits_for(row)
    if reason is None or not reason.has_position:
        return Place(reason)
    takes_turns = (row.wait_key or "").startswith(f"{WAITING}{row.organization_id}#")
    hides_others = seen_by is not None and row.follows is None
    ahead = waiting.count_ahead(row, seen_by)
    return Place(reason, ahead, of_organization=takes_turns or hides_others)
