"""What the campaign's jobs and tasks raise."""

from collections.abc import Mapping

from errors import DoNotRetry


class UnusableFile(DoNotRetry):
    """A file that a job was asked to read can't be read, and will not get better by itself."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}")
        self.key = key


class MissingColumns(DoNotRetry):
    """A file lacks columns it must have. `nearest` maps each to the column most like it, if any."""

    def __init__(
        self, nearest: Mapping[str, str | None], columns: int, *, has_header: bool = True
    ) -> None:
        self.nearest = dict(nearest)
        self.columns = columns
        missing = ", ".join(
            f"{name} (did you mean {like!r}?)" if like else name for name, like in nearest.items()
        )
        what = f"it has {columns:,}" if has_header else "its first row names none that is known"
        super().__init__(f"the file has no column {missing}; {what}")


class TextRefused(DoNotRetry):
    """A text was surely not sent, and would not be later."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the message was not sent: {why}")


class SmsOutcomeUnknown(DoNotRetry):
    """A text may have been sent. Sending it again could text a person twice."""

    recorded_as = "TextInDoubt"

    def __init__(self, why: str) -> None:
        super().__init__(f"given up, for SNS may have taken the message: {why}")
