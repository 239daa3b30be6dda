"""The invocations of a history, and what the checkers know about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from histories.deploys import Version
from histories.worker_classes import View
from job_runners.testing.simulation.invocation import Invocation as BaseInvocation
from job_runners.testing.simulation.invocation import Message
from job_runners.work import Queue


def id_of(message: Message) -> str:
    """Return the subject of a message: the id of a job or a task, or a line."""
    if message["kind"] == "queue":
        return f"{message['queue_name']}#{message['concurrency_key']}"
    return str(message["id"])


@dataclass
class Look:
    """One read of a line before a decision: when it began, and the entries that it found."""

    began: int
    entries: list[str]


@dataclass
class Invocation(BaseInvocation):
    """One run of a function. Its clock is the world's, skewed."""

    started: int = 0
    hops: int = 0
    skew: int = 0
    claim: str | None = None  # the token of its claim
    is_answered: bool = True  # whether its last call was answered, and not refused by a fault
    refused_at: int = 0  # the last time at which a call was refused by a fault or not answered
    could_not_return_job: bool = False  # because AWS was unavailable until it ended
    machine: object = None  # its machine, which remembers what earlier invocations read
    version: Version = Version.TODAY  # the version of its code
    worker_class: str | None = None  # of a worker
    has_forwarded: bool = False  # whether it has sent its own message on
    classes: View = field(default_factory=dict)  # what its code says of worker classes
    writes_before: int = 0  # the number of writes that had landed when it began
    saved: str | None = None  # the job that its current call has saved, if the call saved one
    called_at: int = 0  # when its code made its current or last call
    queues: Mapping[str, Queue] = field(default_factory=dict)  # the queues that its code declares
    looks: dict[str, Look] = field(default_factory=dict)  # its last reads, by line
    sent: set[str] = field(default_factory=set)  # subjects of the messages that it has sent

    @staticmethod
    def none() -> "Invocation":
        """Return a stand-in for calls that are made outside any invocation."""
        return Invocation("none", deadline=0, message={})
