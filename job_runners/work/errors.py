"""The errors that the methods of a running job raise, and other errors of jobs and tasks."""

from collections.abc import Sequence

from job_runners.errors import DoNotRetry, JobRunnersError

RAISED_IN = "_job_runners_step"  # an error's attribute with the name of the step that raised it


class ResultNotJson(JobRunnersError):
    """A job returned a value that its row can't store."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The job's result isn't JSON: {why}")


class CursorTooLarge(JobRunnersError):
    """The cursor of a checkpoint is too large for the job's row."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"The cursor has {size:,} bytes. The limit is {limit:,}. "
            "Put the data into the bucket or a table, and its key into the cursor."
        )


class StepNameTaken(DoNotRetry):
    """A job used a name for two steps or waits. The second one would get the first one's result."""

    def __init__(self, name: str, noun: str = "step") -> None:
        super().__init__(
            f"This invocation already has a {noun} {name!r}. Give each {noun} its own name, "
            "for example with the id of the item that it works on."
        )


class WaitTooLong(DoNotRetry):
    """A job would wait for longer than the table keeps the records of the wait."""

    def __init__(self, name: str, seconds: float, days: int) -> None:
        super().__init__(
            f"The wait {name[:60]!r} of {seconds:,g} s is too long. At most {days} days are left. "
            "A wait lasts at most 90 days, and ends within 150 days after the job began. "
            "Dispatch another job for what comes later."
        )


class WaitTimedOut(DoNotRetry):
    """No signal arrived before a wait's timeout.

    Each later invocation and attempt gets the same error.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"The signal {name!r} didn't come in time.")
        self.name = name


class TooManyNames(DoNotRetry):
    """A job waits for no signal at all, or for too many."""

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"A wait has 1 to {limit} different names of signals, not {count}.")


class NoPublicUrl(DoNotRetry):
    """A job asks for a link through which to answer it, but the API's address isn't set."""

    def __init__(self) -> None:
        super().__init__(
            "job.signal_url needs the address of the API. Set PUBLIC_URL, "
            "for example to https://jobs.example.com."
        )


class WaitsSpent(DoNotRetry):
    """A job waited too often."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"The job waited {limit:,} times, which is the limit. "
            "Dispatch another job for the rest of the work, or use a schedule."
        )


class GatherChanged(DoNotRetry):
    """A job passes other members of its group than an earlier invocation of the job did."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The members of the group {name!r} are not those that an earlier invocation began to "
            "dispatch. Yield the same keys in the same order in each invocation, for example from "
            "a step."
        )


class DuplicateMember(DoNotRetry):
    """Two members of a group have the same key.

    The message doesn't contain the key, because callers of every role may see error messages.
    """

    def __init__(self, first: int, second: int) -> None:
        super().__init__(
            f"Members {first:,} and {second:,} of the group, counted from 0, have the same key. "
            "Give each its own key."
        )


class TooManyMembers(DoNotRetry):
    """A group has too many members."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"A group has at most {limit:,} members. Give each member more to do, "
            "or dispatch members that gather themselves."
        )


class NameTooLong(DoNotRetry):
    """The name of a step or the key of a child is too long for the table."""

    def __init__(self, noun: str, size: int, limit: int) -> None:
        super().__init__(
            f"The {noun} has {size:,} bytes. The limit is {limit:,}. "
            "Use a shorter one, such as a hash."
        )


class InvalidFileName(DoNotRetry):
    """A job gave a file an invalid name."""

    def __init__(self, name: str, max_length: int) -> None:
        super().__init__(
            f"{name[:100]!a} isn't a valid file name. A name has 1 to {max_length} bytes of UTF-8 "
            "without control characters, and no part between slashes is empty, '.' or '..'. "
            "Use a name such as 'photo.jpg' or 'pages/1.png'."
        )


class FileRefused(DoNotRetry):
    """A job isn't allowed to read or write the file with this key."""

    def __init__(self, key: str, folders: Sequence[str]) -> None:
        allowed = ", ".join(f"{folder}/" for folder in folders)
        super().__init__(
            f"This job can't use the file {key[:200]!a}. Its key must be below {allowed}. "
            "job.result_file(name) and job.work_file(name) return keys that the job can write."
        )


class NameNotText(DoNotRetry):
    """The name of a step or the key of a child can't be encoded as UTF-8."""

    def __init__(self, noun: str) -> None:
        super().__init__(
            f"The {noun} has a lone surrogate, like a file name that isn't UTF-8. "
            "Use another one, such as os.fsencode(name).hex()."
        )


class AppSettingMissing(DoNotRetry):
    """A job or task reads a setting that isn't set and has no default."""

    def __init__(self, name: str, variable: str, path: str | None) -> None:
        fix = f"Set it with job-runners config set {name}, and --secret for a secret"
        if not path:  # in a test, or without a stack
            fix = f"Set {variable}; in a test, return it from the fixture job_settings"
        where = f" under {path}" if path else ""
        self.without_advice = f"The setting {name} doesn't exist{where}"
        super().__init__(f"{self.without_advice}. {fix}.")


class AppSettingsUnreadable(JobRunnersError):
    """Parameter Store failed or refused the read, and the cached values are too old."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            f"Can't read the settings under {path} ({why}), and the cached ones are too old."
        )


class InvalidOccurrences(JobRunnersError):
    """The times of a schedule are invalid.

    `field` is cron, every, timezone or missed. `why` follows the field's name in the message, such
    as "must be a minute to 366 days".
    """

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


class FunctionNotLoaded(JobRunnersError):
    """A function that is given as "package.module:function" can't be imported.

    `why` may have several sentences. It has no final period.
    """

    def __init__(self, function: str, declared_in: object, why: str) -> None:
        super().__init__(f"{function!r} ({declared_in}) can't be loaded: {why}")


class AroundFailed(JobRunnersError):
    """A context manager of AROUND failed.

    If it failed on entry, the function was not called. A failure on exit doesn't change how the job
    or task ended.
    """

    def __init__(self, name: str, when: str, error: BaseException) -> None:
        super().__init__(f"{name} failed {when}: {type(error).__name__}: {error}")
