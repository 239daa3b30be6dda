"""The errors of the campaign's jobs and tasks, which a retry wouldn't mend."""

from collections.abc import Mapping

from job_runners.work import DoNotRetry


class UnusableFile(DoNotRetry):
    """A job can't read its file, and a retry wouldn't help."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}")
        self.key = key


class MissingColumns(DoNotRetry):
    """A file lacks required columns. `nearest` maps each to the most similar column, or None."""

    def __init__(
        self, nearest: Mapping[str, str | None], columns: int, *, has_header: bool = True
    ) -> None:
        self.nearest = dict(nearest)
        self.columns = columns
        missing = ", ".join(
            f"{name} (did you mean {like!r}?)" if like else name for name, like in nearest.items()
        )
        found = f"it has {columns:,}" if has_header else "its first row has no known column name"
        super().__init__(f"the file has no column {missing}; {found}")


class TextRefused(DoNotRetry):
    """A text was certainly not sent, and a retry wouldn't help."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the message was not sent: {why}")


class SmsOutcomeUnknown(DoNotRetry):
    """A text may have been sent. Sending it again could text a person twice."""

    def __init__(self, why: str) -> None:
        super().__init__(f"SNS may have accepted the message, so it isn't sent again: {why}")
