"""The errors of callers that change queues, webhooks or schedules, or send signals and answers.

They have their own module, because no worker raises them (job_runners/errors.py has all others).
"""

from job_runners.errors import JobRunnersError


class SignalRefused(JobRunnersError):
    """A signal can't be stored for its job."""


class SignalConflict(SignalRefused):
    """The signal has come before, with another value."""

    def __init__(self, job_id: str, name: str) -> None:
        super().__init__(
            f"Job {job_id} has got another value of the signal {name!r} before. "
            "Only the first value counts."
        )


class SignalTooLate(SignalRefused):
    """The job has ended without the signal, or its wait for the signal is over."""

    def __init__(self, job_id: str, name: str, why: str) -> None:
        super().__init__(f"The signal {name!r} comes too late, because job {job_id} {why}.")


class TooManySignals(SignalRefused):
    """The job has as many signals as it may have."""

    def __init__(self, job_id: str, most: int) -> None:
        super().__init__(f"Job {job_id} has got {most:,} signals, which is the limit.")


class SignalTooLarge(SignalRefused):
    """The value of a signal is too large."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"The value has {size:,} bytes of JSON. The limit is {limit:,}. "
            "Put the data into the bucket or a table, and send its key."
        )


class SignalBusy(JobRunnersError):
    """The job changed before each try to store a signal."""

    retry_after = 1  # seconds

    def __init__(self) -> None:
        super().__init__("The job kept changing. Send the signal again.")


# The errors of a link say nothing about its job, because its caller has no role.


class LinkNotFound(JobRunnersError):
    """No link has this token, or its job was deleted."""

    def __init__(self) -> None:
        super().__init__("This link doesn't exist. Check that you have copied all of it.")


class AlreadyAnswered(JobRunnersError):
    """The question of a link was answered before, in another way."""

    def __init__(self) -> None:
        super().__init__("Another answer was given before. Only the first one counts.")


class LinkOver(JobRunnersError):
    """The job of a link doesn't take an answer any more."""

    def __init__(self) -> None:
        super().__init__("It is too late for an answer: nothing waits for it any more.")


class TooManyPaused(JobRunnersError):
    """The number of pauses is limited, because every worker reads all of them."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"{most} job types and queues are paused, which is the limit. Resume one first."
        )


class TooManyLimited(JobRunnersError):
    """The number of changed limits is limited, because every worker reads all of them."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"The limits of {most} queues differ from the code, which is the most allowed. "
            "Reset some, or declare them in code."
        )


class NothingLimited(JobRunnersError):
    """A change sets neither slots nor a rate for a queue without limits in code."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The code declares no limits for queue {name!r}. Set slots, a rate or both."
        )


class QueueNotFound(JobRunnersError):
    """No queue that the caller may see has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"No queue is named {name!r}. List the queues with `job-runners queues` or GET /queues."
        )
        self.name = name


class FailureNotFound(JobRunnersError):
    """An organization has no error group with this id."""

    def __init__(self, failure_id: str) -> None:
        super().__init__(
            f"There is no failure {failure_id!r}, or its jobs have expired. "
            "List the failures with `job-runners failures` or GET /failures."
        )


class WebhookNotFound(JobRunnersError):
    """An organization has subscribed no webhook of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"No webhook is named {name!r}. "
            "List the webhooks with `job-runners webhooks` or GET /webhooks."
        )


class WebhooksOff(JobRunnersError):
    """Organizations may not subscribe webhooks in this stack."""

    def __init__(self) -> None:
        super().__init__(
            "Webhook subscriptions are turned off in this stack. "
            "Deploy it with the parameter WebhookSubscriptions=true."
        )


class TooManyWebhooks(JobRunnersError):
    """An organization has as many webhooks as it may have."""

    def __init__(self, most: int) -> None:
        super().__init__(f"The organization has {most} webhooks, which is the limit. Delete one.")


class ScheduleNotFound(JobRunnersError):
    """An organization has no schedule of this name. If `is_declared`, this version of the code
    declares it, and the timer hasn't stored it yet."""

    def __init__(self, name: str, *, is_declared: bool = False) -> None:
        super().__init__(
            f"Schedule {name!r} is declared in code but not stored yet. "
            "The timer stores it within a minute of a deploy."
            if is_declared
            else f"No schedule is named {name!r}. "
            "List the schedules with `job-runners schedules` or GET /schedules."
        )
        self.name = name


class ScheduleDeclared(JobRunnersError):
    """A schedule is declared in code, so it can only be paused, resumed and run now."""

    def __init__(self, name: str, *, by_this_version: bool) -> None:
        super().__init__(
            f"Schedule {name!r} is declared in code (RECURRING). Change it there, or pause it."
            if by_this_version
            else f"Schedule {name!r} is declared by another version of the code, not by this one. "
            "It is removed 15 minutes after that version is gone. Until then you can pause it."
        )
        self.name = name


class TooManySchedules(JobRunnersError):
    """An organization has as many schedules as it may have."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"An organization may have {most:,} schedules. "
            "Those deleted in the last 40 days count too."
        )


class ScheduleBusy(JobRunnersError):
    """Every try to change a schedule failed, because another request wrote it first."""

    retry_after = 1  # seconds

    def __init__(self, name: str) -> None:
        super().__init__(f"Other requests are changing schedule {name!r}. Try again.")
        self.name = name
