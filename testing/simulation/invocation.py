"""What is under way in a hostile Lambda: events that will arrive, invocations that run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from testing.simulation.deploys import Version
from work import Queue

WELL = "well"

Message = dict[str, Any]
"""A message of ours, as it is on the wire."""


def id_of(message: Message) -> str:
    """Return what a message is about: a job, a task, or a line."""
    if message["kind"] == "queue":
        return f"{message['queue_name']}#{message['queue_key']}"
    return str(message["id"])


class Killed(BaseException):
    """The invocation is gone. Its code can do nothing about it, and nothing more."""


@dataclass
class Look:
    """One look at a line, on which a decision is based: when it began, and which entries it saw."""

    began: int
    entries: list[str]


@dataclass
class Invocation:
    """One run of a function. Its clock is the world's, skewed."""

    name: str
    deadline: int
    skew: int
    hops: int
    message: Message  # what it was invoked about, if that was a message of ours
    started: int
    dead: bool = False
    zombie: bool = False  # frozen past its deadline and thawed again
    claim: str | None = None  # the token it claimed a row with
    ended: str | None = None  # how, once it has
    is_answered: bool = True  # the last call that it made
    refused_at: int = 0  # when AWS did not answer it for the last time
    no_chance: bool = False  # AWS stayed away until it ended
    machine: object = None  # what it runs on, which remembers what earlier ones read
    version: Version = Version.TODAY  # of the code that it runs
    cause: "Invocation | None" = None  # the one whose failure record it is invoked with
    number: int = 0  # how many writes had landed when it began
    called_at: int = 0  # when its code made the call that it is in, or made last
    queues: Mapping[str, Queue] = field(default_factory=dict)  # that its code declares
    looks: dict[str, Look] = field(default_factory=dict)  # its last ones, by line
    sent: set[str] = field(default_factory=set)  # what it has sent messages about

    @staticmethod
    def nobody() -> "Invocation":
        """Return what calls that no invocation makes are made by."""
        return Invocation("nobody", deadline=0, skew=0, hops=0, message={}, started=0)


@dataclass(order=True)
class Event:
    """Something that a function will be invoked with, not before `at`."""

    at: int
    number: int
    function: str = field(compare=False)
    body: Any = field(compare=False)
    hops: int = field(compare=False, default=0)
    cause: Invocation | None = field(compare=False, default=None)

    @property
    def message(self) -> Message:
        """The message of ours that it is, or that it is the failure record of."""
        message: Message = self.body.get("requestPayload", self.body)
        return message
