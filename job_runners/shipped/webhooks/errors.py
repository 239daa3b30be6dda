"""Errors raised while sending a webhook."""

from job_runners.errors import JobRunnersError


class WebhookFailed(JobRunnersError):
    """The receiver did not accept a webhook this time. A later attempt may succeed."""

    def __init__(self, host: str, problem: str) -> None:
        super().__init__(f"the webhook at {host} {problem}")
        self.host = host
