"""The errors of the campaign's jobs and tasks, which a retry wouldn't mend."""

from job_runners.work import DoNotRetry


class UnusableFile(DoNotRetry):
    """A job can't read its file, and a retry wouldn't help."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"{key}: {why}")


class TextRefused(DoNotRetry):
    """A text was certainly not sent, and a retry wouldn't help."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the message was not sent: {why}")


class SmsOutcomeUnknown(DoNotRetry):
    """A text may have been sent. Sending it again could text a person twice."""

    def __init__(self, why: str) -> None:
        super().__init__(f"SNS may have accepted the message, so it isn't sent again: {why}")
