"""A stand-in for Lambda's context object, for tests that call a handler."""

from collections.abc import Callable

from job_runners import clock
from job_runners.testing.aws import WORKER_ARN


class Context:
    """The attributes of Lambda's context object that our handlers read."""

    function_name = "worker"
    memory_limit_in_mb = 512
    aws_request_id = "request"

    def __init__(
        self,
        seconds: float = 900,
        function: str = WORKER_ARN,
        *,
        milliseconds_left: Callable[[], int] | None = None,
    ) -> None:
        """Describe an invocation that begins now and may take `seconds`.

        If `milliseconds_left` is passed, it replaces `seconds`.
        """
        self.invoked_function_arn = function
        deadline = clock.now() + round(seconds * clock.SECOND)
        self._milliseconds_left = milliseconds_left or (lambda: deadline - clock.now())

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until this invocation ends."""
        return max(0, self._milliseconds_left())
