"""The pending events of a simulated Lambda, and its invocations."""

from dataclasses import dataclass, field
from typing import Any

WELL = "well"  # Invocation.ended of an invocation that succeeded

Message = dict[str, Any]
"""One of our messages, in the form in which it is sent."""


class Killed(BaseException):
    """The invocation was killed. No code catches this error, so the invocation does no more."""


@dataclass
class Invocation:
    """One run of a function."""

    name: str
    deadline: int
    message: Message  # empty if the invocation was started by something else
    dead: bool = False
    zombie: bool = False  # frozen past its deadline, and then resumed
    ended: str | None = None  # WELL or the error, once it has ended
    is_reported: bool = True  # whether its failure record may arrive if it fails
    cause: "Invocation | None" = None  # the failed invocation whose record it handles


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
