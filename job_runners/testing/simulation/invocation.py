"""The events that will arrive in a hostile Lambda, and its invocations."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from job_runners.work import Queue

WELL = "well"

Message = dict[str, Any]
"""One of our messages, in the form in which it is sent."""


def id_of(message: Message) -> str:
    """Return the subject of a message: the id of a job or a task, or a line."""
    if message["kind"] == "queue":
        return f"{message['queue_name']}#{message['concurrency_key']}"
    return str(message["id"])


class Killed(BaseException):
    """The invocation was killed. Its code doesn't catch this error, so it does nothing more."""


@dataclass
class Look:
    """One read of a line before a decision: when it began, and the entries that it found."""

    began: int
    entries: list[str]


@dataclass
class Invocation:
    """One run of a function. Its clock is the world's, skewed."""

    name: str
    deadline: int
    hops: int
    message: Message  # the message that it was invoked with, if it was ours
    started: int
    skew: int = 0
    dead: bool = False
    zombie: bool = False  # frozen past its deadline and thawed again
    claim: str | None = None  # the token of its claim
    ended: str | None = None  # how it ended, once it has
    is_reported: bool = True  # if it fails, whether its failure record may arrive
    is_answered: bool = True  # whether its last call was answered, and not refused by a fault
    refused_at: int = 0  # the last time at which a call was refused by a fault or not answered
    could_not_return_job: bool = False  # because AWS was unavailable until it ended
    machine: object = None  # its machine, which remembers what earlier invocations read
    version: Any = None  # the version of its code
    worker_class: str | None = None  # of a worker
    has_forwarded: bool = False  # whether it has sent its own message on
    classes: Any = None  # what its code says of worker classes
    cause: "Invocation | None" = None  # the invocation whose failure record it received
    writes_before: int = 0  # the number of writes that had landed when it began
    called_at: int = 0  # when its code made its current or last call
    queues: Mapping[str, Queue] = field(default_factory=dict)  # the queues that its code declares
    looks: dict[str, Look] = field(default_factory=dict)  # its last reads, by line
    sent: set[str] = field(default_factory=set)  # subjects of the messages that it has sent

    @staticmethod
    def none() -> "Invocation":
        """Return a stand-in for calls that are made outside any invocation."""
        return Invocation("none", deadline=0, hops=0, message={}, started=0)


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
