"""Errors for callers that change queues, webhooks or schedules, or send signals and answers.

Workers never raise them.
"""

from job_runners.errors import JobRunnersError


class SignalRefused(JobRunnersError):
    """The job doesn't accept the signal."""


class SignalConflict(SignalRefused):
    """The job has already received a different value for this signal."""

    def __init__(self, job_id: str, name: str) -> None:
        super().__init__(
            f"Job {job_id} has got another value of the signal {name!r} before. "
            "Only the first value counts."
        )


class SignalTooLate(SignalRefused):
    """The job has ended, or no longer waits for the signal."""

    def __init__(self, job_id: str, name: str, why: str) -> None:
        super().__init__(f"The signal {name!r} comes too late, because job {job_id} {why}.")


class TooManySignals(SignalRefused):
    """The job has reached its maximum number of signals."""

    def __init__(self, job_id: str, limit: int) -> None:
        super().__init__(f"Job {job_id} has got {limit:,} signals, which is the limit.")


class SignalTooLarge(SignalRefused):
    """The signal's value is too large."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"The value has {size:,} bytes of JSON. The limit is {limit:,}. "
            "Put the data into the bucket or a table, and send its key."
        )


class SignalBusy(JobRunnersError):
    """The signal couldn't be stored, because the job's row kept changing."""

    retry_after = 1  # seconds

    def __init__(self) -> None:
        super().__init__("The job kept changing. Send the signal again.")


# The errors about links reveal nothing about the job, because anyone may open a link.


class LinkNotFound(JobRunnersError):
    """No link has this token, or the link's job was deleted."""

    def __init__(self) -> None:
        super().__init__("This link doesn't exist. Check that you have copied all of it.")


class AlreadyAnswered(JobRunnersError):
    """The link was already used to give a different answer."""

    def __init__(self) -> None:
        super().__init__("Another answer was given before. Only the first one counts.")


class LinkOver(JobRunnersError):
    """The link's job no longer accepts an answer."""

    def __init__(self) -> None:
        super().__init__("It is too late for an answer: nothing waits for it any more.")


class TooManyPaused(JobRunnersError):
    """The stack has its maximum number of pauses. Every worker reads all of them."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} job types and queues are paused, which is the limit. Resume one first."
        )


class TooManyLimited(JobRunnersError):
    """Callers have changed the limits of too many queues. Every worker reads all changes."""

    def __init__(self, max_queues: int) -> None:
        super().__init__(
            f"The limits of {max_queues} queues differ from the code, which is the most allowed. "
            "Reset some, or declare them in code."
        )


class NothingLimited(JobRunnersError):
    """The change sets neither slots nor a rate, and the code declares no limits for the queue."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The code declares no limits for queue {name!r}. Set slots, a rate or both."
        )


class QueueNotFound(JobRunnersError):
    """The caller can't see a queue with this name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"No queue is named {name!r}. List the queues with `job-runners queues` or GET /queues."
        )


class ErrorGroupNotFound(JobRunnersError):
    """The organization has no error group with this id."""

    def __init__(self, error_group_id: str) -> None:
        super().__init__(
            f"There is no error group {error_group_id!r}, or its jobs have expired. "
            "List the error groups with `job-runners failures` or GET /error-groups."
        )


class WebhookNotFound(JobRunnersError):
    """The organization has no webhook with this name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"No webhook is named {name!r}. "
            "List the webhooks with `job-runners webhooks` or GET /webhooks."
        )


class WebhooksOff(JobRunnersError):
    """In this stack, organizations can't subscribe webhooks."""

    def __init__(self) -> None:
        super().__init__(
            "Webhook subscriptions are turned off in this stack. "
            "Deploy it with the parameter WebhookSubscriptions=true."
        )


class TooManyWebhooks(JobRunnersError):
    """The organization has reached its maximum number of webhooks."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The organization has {limit} webhooks, which is the limit. Delete one.")


class ScheduleNotFound(JobRunnersError):
    """The organization has no schedule with this name.

    If `is_declared`, this version of the code declares it, but the timer hasn't stored it yet.
    """

    def __init__(self, name: str, *, is_declared: bool = False) -> None:
        message = f"No schedule is named {name!r}. "
        advice = "List the schedules with `job-runners schedules` or GET /schedules."
        if is_declared:
            message = f"Schedule {name!r} is declared in code but not stored yet. "
            advice = "The timer stores it within a minute of a deploy."
        super().__init__(message + advice)


class ScheduleDeclared(JobRunnersError):
    """The schedule is declared in code, so callers can only pause, resume and run it."""

    def __init__(self, name: str, *, by_this_version: bool) -> None:
        if by_this_version:
            message = (
                f"Schedule {name!r} is declared in code (RECURRING). Change it there, or pause it."
            )
        else:
            message = (
                f"Schedule {name!r} is declared by another version of the code, not by this one. "
                "It is removed 15 minutes after that version is gone. Until then you can pause it."
            )
        super().__init__(message)


class TooManySchedules(JobRunnersError):
    """The organization has reached its maximum number of schedules."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"An organization may have {limit:,} schedules. "
            "Those deleted in the last 40 days count too."
        )


class ScheduleBusy(JobRunnersError):
    """The schedule couldn't be changed, because other requests kept changing it."""

    retry_after = 1  # seconds

    def __init__(self, name: str) -> None:
        super().__init__(f"Other requests are changing schedule {name!r}. Try again.")
