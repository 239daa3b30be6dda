"""The errors of several rooms. Each carries its facts and reads as a sentence for a person.

    JobRunnersError
        MissingSetting, InvalidSetting, InvalidDefinition   configuration, at start
        UnknownName, InvalidPayload, PayloadTooLarge, ...    requests: the caller can fix these
        SendFailed, MalformedMessage, PreconditionFailed,
        Interrupted, TimedOut, LegsSpent, NeverStarted, ...  the wire, the store, a job's end
        DoNotRetry, RetryAfter                               for job and task code to raise

What only one room raises and handles is in its own `errors.py`: runners, work, campaigns,
webhooks, api.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar


class JobRunnersError(Exception):
    """The base of every error here: something was refused, and the message says what and why.

    A class that had another name in a release sets `recorded_as` to it: rows keep that kind, so
    that whoever filters by it finds old rows and new ones.
    """

    recorded_as: ClassVar[str]


# --- configuration: raised at start, never in the middle of a job ---------------------------------


class MissingSetting(JobRunnersError):
    """An environment variable that this process needs is not set."""

    def __init__(self, variable: str, needed_by: str) -> None:
        super().__init__(f"{variable} is not set; {needed_by} needs it")
        self.variable = variable
        self.needed_by = needed_by


class InvalidSetting(JobRunnersError):
    """An environment variable holds a value that can't be used."""

    def __init__(self, variable: str, value: str, expected: str) -> None:
        super().__init__(f"{variable}={value!r} can't be used: expected {expected}")
        self.variable = variable
        self.value = value


class InvalidDefinition(JobRunnersError):
    """A Job, a Task or a table is written in a way that can't work."""


# --- requests: the caller can fix these ----------------------------------------------------------


class UnknownName(JobRunnersError):
    """No job, or no task, goes by this name."""

    kind = "name"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        from difflib import get_close_matches  # for this error alone

        self.name = name
        self.nearest = next(iter(get_close_matches(name, list(known), n=1, cutoff=0.5)), None)
        every = "`jobs types` or GET /job-types lists those there are"
        hint = f"did you mean {self.nearest!r}?" if self.nearest else every
        super().__init__(f"there is no {self.kind} named {name!r}; {hint}")


class UnknownJobType(UnknownName):
    """No job goes by this name."""

    kind = "job"


class UnknownTask(UnknownName):
    """No task goes by this name."""

    kind = "task"


class InvalidPayload(JobRunnersError):
    """A payload does not fit its model. `problems` has one entry for each field that is wrong."""

    def __init__(self, name: str, problems: Sequence[Mapping[str, str]]) -> None:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"the payload of {name} is wrong: {first['field']}: {first['why']}{more}")
        self.name = name
        self.problems = problems


class CampaignMissing(InvalidPayload):
    """A job that is about a campaign was dispatched for none."""

    def __init__(self, job_type: str) -> None:
        why = "is required: this job is about a campaign's contacts"
        super().__init__(job_type, [{"field": "campaign_id", "why": why}])


class PayloadTooLarge(JobRunnersError):
    """A payload is larger than what its kind of work may carry. Sizes are bytes of JSON."""

    def __init__(self, what: str, size: int, limit: int, advice: str) -> None:
        super().__init__(f"{what} is {size:,} bytes; at most {limit:,} are allowed. {advice}")
        self.size = size
        self.limit = limit


class QueueFull(JobRunnersError):
    """So many jobs wait in a queue that no more are accepted. `retry_after` is in seconds."""

    retry_after = 10  # the jobs that wait are not counted more often

    def __init__(self, queue_name: str, most: int) -> None:
        super().__init__(
            f"the queue {queue_name!r} is full: {most:,} jobs wait there before this one. "
            "Dispatch it again when some of them have started"
        )
        self.queue_name = queue_name


class QuotaReached(JobRunnersError):
    """An organisation has so many unfinished jobs that no more are accepted. `retry_after` is in
    seconds."""

    retry_after = 10  # they are not counted more often

    def __init__(self, organization_id: str, most: int) -> None:
        super().__init__(
            f"the organisation {organization_id!r} has {most:,} jobs that are not finished, and "
            "may have no more. Dispatch it again when some of them have ended"
        )
        self.organization_id = organization_id


class InvalidCursor(JobRunnersError):
    """A list cursor that this API never gave out, or not for this list."""

    def __init__(self) -> None:
        super().__init__("the cursor is not one that this list gave out; start again without it")


class RunnerCannotResend(JobRunnersError):
    """This runner can't do what the job asks of it."""

    recorded_as = "NotFullyCapable"

    def __init__(self, job_type: str, need: str) -> None:
        super().__init__(
            f"{job_type!r} {need}, which needs a runner that can send a job again, "
            "and the one JOB_RUNNER names has no send()"
        )


class JobNotFound(JobRunnersError):
    """No job has this id, or it has expired, or it belongs to another organisation."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job with id {job_id!r}; finished jobs are deleted in time")
        self.job_id = job_id


class IdempotencyConflict(JobRunnersError):
    """An idempotency key was used before, for another request."""

    def __init__(self, key: str, job_id: str) -> None:
        super().__init__(
            f"the idempotency key {key!r} was used for another request, which is job {job_id}"
        )
        self.job_id = job_id


class UniqueConflict(JobRunnersError):
    """A job is unique, and another one has its place. `job_id` is that one's."""

    def __init__(self, job_type: str, job_id: str) -> None:
        super().__init__(
            f"{job_type!r} is unique, and job {job_id} has its place: wait until that one has "
            "ended, or cancel it"
        )
        self.job_id = job_id


class WrongState(JobRunnersError):
    """What its owner wants of a job can't be done with one in this state."""

    def __init__(self, job_id: str, status: str, done: str, possible: str) -> None:
        super().__init__(f"job {job_id} is {status}: only a job {possible} can be {done}")
        self.job_id = job_id
        self.status = status


# --- the wire and the store -----------------------------------------------------------------------


class SendFailed(JobRunnersError):
    """A message did not leave this process. A saved job stays due; a task is lost to its caller."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} could not be sent: {why}")


class SendInDoubt(SendFailed):
    """Nobody answered whether a task was taken. It is not sent again, for then it could run twice;
    who dispatched it decides."""

    def __init__(self, what: str, why: str) -> None:
        JobRunnersError.__init__(
            self, f"{what} may have been sent or not, and is not sent again: {why}"
        )


class MalformedMessage(JobRunnersError):
    """An event that is not a message of ours."""


class UnknownMessageVersion(JobRunnersError):
    """A message of a version this code does not know: another deploy is in progress."""

    def __init__(self, version: object) -> None:
        super().__init__(f"message version {version!r} is not known to this code")
        self.version = version


class PreconditionFailed(JobRunnersError):
    """A verb was refused: the row was not, or no longer, in a state that the verb starts from.

    `row` is what was read after the refusal, None if it is gone; `found` says it in words.
    """

    def __init__(self, verb: str, job_id: str, found: str, row: Any = None) -> None:
        super().__init__(f"{verb} refused for job {job_id}: it is {found}")
        self.verb = verb
        self.job_id = job_id
        self.found = found
        self.row = row


class MissingObject(JobRunnersError):
    """A payload or result that was stored apart from its row is no longer in the bucket."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the object {key!r} is missing from the bucket")
        self.key = key


class ObjectChanged(JobRunnersError):
    """An object was replaced while it was being read in pieces."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the object {key!r} was replaced while it was being read")
        self.key = key


class UploadGone(JobRunnersError):
    """A multipart upload was completed or aborted before."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the upload of {key!r} is no longer open")
        self.key = key


class Interrupted(JobRunnersError):
    """An attempt was cut off before it could report: its worker was killed, or ran out of memory.

    `how` is what is known of that.
    """

    def __init__(self, how: str) -> None:
        super().__init__(
            f"the attempt was cut off: {how}. What it did until then may have had effects"
        )
        self.how = how


class TimedOut(JobRunnersError):
    """An attempt was interrupted because its time was over."""

    def __init__(self, seconds: float, *, own: bool, in_api: bool = False) -> None:
        limit = "the worker's time limit"
        if in_api:
            limit = "the time limit of the API function, which does all work with JobRunner=legacy"
        bound = f"its timeout of {seconds:g} s" if own else limit
        super().__init__(
            f"the attempt was interrupted at {bound}. What it did until then may have had effects"
        )


class LegsSpent(JobRunnersError):
    """A job was claimed as often as it may be, and still is not done."""

    def __init__(self, legs: int) -> None:
        super().__init__(f"not done after {legs} legs; is it making progress? See Job(max_legs=)")


class NeverStarted(JobRunnersError):
    """No worker could start a job within its `start_within`, or knew its type (`unknown`)."""

    def __init__(self, seconds: float, *, unknown: str | None = None) -> None:
        why = f", for this deploy has no job {unknown!r}" if unknown else ""
        super().__init__(
            f"never started: no worker could take it within {seconds:g} s of its being queued{why}"
        )


class JobTypeRemoved(JobRunnersError):
    """A job had begun, and then no deploy knew its type any more."""

    recorded_as = "TypeForgotten"

    def __init__(self, job_type: str, days: float) -> None:
        super().__init__(f"no worker has known the job {job_type!r} for {days:g} days")
        self.job_type = job_type


class TooManyPaused(JobRunnersError):
    """Every worker reads all that is paused, so that there is a limit to it."""

    def __init__(self, most: int) -> None:
        super().__init__(f"{most} job types and queues are paused, and no more can be")


class TooManyLimited(JobRunnersError):
    """Every worker reads all limits that were changed, so that there is a limit to them."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"the limits of {most} queues were changed, and of no more can be: reset some, or "
            "declare them in the code"
        )


class NothingLimited(JobRunnersError):
    """A queue that the code does not limit was to be limited by neither slots nor a rate."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"nothing limits the queue {name!r} by its code: give slots, a rate or both"
        )


class QueueNotFound(JobRunnersError):
    """There is no queue of this name that the caller may know of."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no queue {name!r} here; `jobs queues` or GET /queues lists those there are"
        )
        self.name = name


class ScheduleNotFound(JobRunnersError):
    """An organisation has no schedule of this name, or none yet: the code of this version declares
    it (`is_declared`), and the timer has not stored it so far."""

    def __init__(self, name: str, *, is_declared: bool = False) -> None:
        super().__init__(
            f"the schedule {name!r} is not stored yet; the code declares it, and the timer stores "
            "it within a minute of a deploy"
            if is_declared
            else f"there is no schedule {name!r}; "
            "`jobs schedules` or GET /schedules lists those there are"
        )
        self.name = name


class ScheduleDeclared(JobRunnersError):
    """A schedule is the code's: it can be paused, resumed and run now, and nothing else."""

    def __init__(self, name: str, *, by_this_version: bool) -> None:
        super().__init__(
            f"the schedule {name!r} is declared in the code (RECURRING): change it there, or pause "
            "it"
            if by_this_version
            else f"the schedule {name!r} is declared by another version of the code, and no longer "
            "or not yet by this one: it is removed a quarter of an hour after that version has "
            "gone; until then it can be paused"
        )
        self.name = name


class TooManySchedules(JobRunnersError):
    """An organisation has as many schedules as it may."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"an organisation may have {most:,} schedules, those of the last 40 days included that "
            "were deleted"
        )


class ScheduleBusy(JobRunnersError):
    """A schedule was written by others whenever this was about to be done."""

    retry_after = 1  # seconds

    def __init__(self, name: str) -> None:
        super().__init__(f"others are changing the schedule {name!r} just now: try again")
        self.name = name


class PauseExpired(JobRunnersError):
    """A job was held back, by a pause, in a full queue or behind another job, for longer than its
    payload is kept."""

    recorded_as = "HeldTooLong"

    def __init__(self, days: float, *, in_line: bool = False, behind: bool = False) -> None:
        by = "because its queue had no room" if in_line else "by a pause that was not resumed"
        by = "because the job that it was to follow did not end" if behind else by
        super().__init__(f"held back for {days:g} days {by}")


# --- for job and task code to raise ---------------------------------------------------------------


class DoNotRetry(JobRunnersError):
    """Raised by a job or task: trying again can't help, whatever its retry tag says."""


class RetryAfter(JobRunnersError):
    """Raised by a job or task tagged for retry: try again, but not for this many seconds.

    `payload` is what the next attempt of a task is given, if that is not what this one was.
    """

    def __init__(
        self, seconds: float, why: str = "asked to wait", *, payload: Any | None = None
    ) -> None:
        super().__init__(f"{why}; retry after {seconds:g} s")
        self.seconds = seconds
        self.payload = payload
