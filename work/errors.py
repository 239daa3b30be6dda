"""What a job's own calls raise."""

from collections.abc import Sequence

from errors import DoNotRetry, JobRunnersError


class ResultNotJson(JobRunnersError):
    """A job returned something that its row can't keep."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the job's result is not JSON: {why}")


class CursorTooLarge(JobRunnersError):
    """A job wanted to checkpoint a cursor that its row has no room for."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"a cursor of {size:,} bytes can't be kept, only up to {limit:,}: put what it has to "
            "remember into the bucket or a table, and the way there into the cursor"
        )


class StepNameTaken(DoNotRetry):
    """A job took a second step of the same name, which would have got the first one's result."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the step {name!r} was taken before in this leg, and a name stands for one step: give "
            "each its own, such as the name and what it is about"
        )
        self.name = name


class NameTooLong(DoNotRetry):
    """A job gave a step a name, or a child a key, that has no room in the table."""

    def __init__(self, what: str, name: str, size: int, limit: int) -> None:
        super().__init__(
            f"the {what} {name[:60]!r}… is {size:,} bytes long; at most {limit:,} are allowed: "
            "take a shorter one, such as a hash of what it is about"
        )


class InvalidFileName(DoNotRetry):
    """A job gave a file a name that no file may have."""

    def __init__(self, name: str, longest: int) -> None:
        super().__init__(
            f"a file can't be named {name[:100]!a}. A name has 1 to {longest} bytes of UTF-8 "
            "without control characters, and no part of it between slashes is empty, '.' or '..': "
            "take one such as 'photo.jpg' or 'pages/1.png'"
        )
        self.name = name


class FileRefused(DoNotRetry):
    """A job named a file that it may not read, or may not write. `key` is the file's."""

    def __init__(self, key: str, folders: Sequence[str]) -> None:
        allowed = ", ".join(f"{folder}/" for folder in folders)
        super().__init__(
            f"this job can't use the file {key[:200]!a}: its key has to be below {allowed}. "
            "job.result_file(name) and job.work_file(name) return keys that the job can write"
        )
        self.key = key


class NameNotText(DoNotRetry):
    """A job gave a step a name, or a child a key, that UTF-8 has no form for."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__(
            f"the {what} {name[:60]!r} has a lone surrogate, as a file name has that is not UTF-8. "
            "Take another, such as os.fsencode(name).hex()"
        )


class AppSettingMissing(DoNotRetry):
    """A job or task asked for a setting that nobody has set."""

    def __init__(self, name: str, variable: str, path: str | None) -> None:
        where = f"under {path}: jobs config set {name}" if path else f"here: set {variable}"
        super().__init__(f"there is no setting {name} {where}")
        self.name = name


class AppSettingsUnreadable(JobRunnersError):
    """Parameter Store did not answer, or refused, and nothing it said before can be used."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            f"the settings under {path} can't be read ({why}), and none that were read before are "
            "fresh enough"
        )


class InvalidOccurrences(JobRunnersError):
    """Nothing can happen at these times: `field` (cron, every or timezone) is wrong, and `why`."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


class EntryNotLoaded(JobRunnersError):
    """The function of a job or task, given as "package.module:function", can't be imported."""

    def __init__(self, entry: str, written_at: object, why: str) -> None:
        super().__init__(f"{entry!r} ({written_at}) can't be loaded: {why}")
        self.entry = entry
        self.why = why


class AroundFailed(JobRunnersError):
    """A context manager of AROUND failed: on the way in, so that the function was not called, or on
    the way out, which changes nothing about how the work ended."""

    def __init__(self, name: str, when: str, error: BaseException) -> None:
        super().__init__(f"{name} failed {when}: {type(error).__name__}: {error}")
        self.name = name
