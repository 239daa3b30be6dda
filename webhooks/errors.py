"""What sending a webhook raises."""

from errors import JobRunnersError


class WebhookFailed(JobRunnersError):
    """A webhook was not taken this time; a later try may succeed."""

    def __init__(self, host: str, why: str) -> None:
        super().__init__(f"the webhook at {host} {why}")
        self.host = host
