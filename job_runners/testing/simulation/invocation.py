"""The events and the invocations of a simulated Lambda."""

from dataclasses import dataclass, field
from typing import Any

SUCCEEDED = "well"  # Invocation.ended of an invocation that succeeded

Message = dict[str, Any]
"""One of the engine's messages, as a dict."""


class Killed(BaseException):
    """The invocation was killed. No code catches this error, so the invocation stops here."""


@dataclass
class Invocation:
    """One run of a Lambda function."""

    name: str  # of the function
    deadline: int
    message: Message  # empty if no message started the invocation
    dead: bool = False
    zombie: bool = False  # frozen past its deadline, and then resumed
    ended: str | None = None  # SUCCEEDED or the error, once it has ended
    is_reported: bool = True  # whether Lambda sends a failure record if it fails
    cause: "Invocation | None" = None  # the failed invocation whose failure record it handles


@dataclass(order=True)
class Event:
    """A pending event for a function, delivered at the time `at` or later."""

    at: int
    number: int  # makes the order of events with the same time unambiguous
    function: str = field(compare=False)
    body: Any = field(compare=False)
    hops: int = field(compare=False, default=0)
    cause: Invocation | None = field(compare=False, default=None)
    worker_class: str | None = field(compare=False, default=None)  # for a worker's event

    @property
    def message(self) -> Message:
        """The engine's message in this event, or in this failure record."""
        message: Message = self.body.get("requestPayload", self.body)
        return message
