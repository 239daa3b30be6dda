"""The events that will arrive in a simulated Lambda, and its invocations."""

from dataclasses import dataclass, field
from typing import Any

WELL = "well"

Message = dict[str, Any]
"""One of our messages, in the form in which it is sent."""


class Killed(BaseException):
    """The invocation was killed. Its code doesn't catch this error, so it does nothing more."""


@dataclass
class Invocation:
    """One run of a function."""

    name: str
    deadline: int
    message: Message  # the message that it was invoked with, if it was ours
    dead: bool = False
    zombie: bool = False  # frozen past its deadline and thawed again
    ended: str | None = None  # how it ended, once it has
    is_reported: bool = True  # if it fails, whether its failure record may arrive
    cause: "Invocation | None" = None  # the invocation whose failure record it received


@dataclass(order=True)
class Event:
    """An event for a function. It arrives at the time `at` or later."""

    at: int
    number: int
    function: str = field(compare=False)
    body: Any = field(compare=False)
    hops: int = field(compare=False, default=0)
    cause: Invocation | None = field(compare=False, default=None)
    worker_class: str | None = field(compare=False, default=None)  # of a worker's event

    @property
    def message(self) -> Message:
        """Our message in this event, or in the record if the event is a failure record."""
        message: Message = self.body.get("requestPayload", self.body)
        return message
