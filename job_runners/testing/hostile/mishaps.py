"""List all mishaps that a job may have: the faults that a play can cause.

At each moment when a fault is possible, the simulated Lambda asks a question, such as whether to
kill the job now. Most mishaps are one harmful answer at one moment, and all other answers are
harmless. Some mishaps change the answers to a question throughout the play.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType


class Question(StrEnum):
    """A question that the fault injector, the simulated Lambda or the scripted Lambda asks."""

    BEFORE_CALL = "before a call"
    AFTER_CALL = "after a call"
    CHECKPOINT = "a checkpoint"
    AFTER_CHECKPOINT = "after a checkpoint"
    AFTER_EFFECT = "after a side effect"
    EVENT_SENT = "an event"
    STALE_READ = "a stale read"


@dataclass(frozen=True)
class Moment:
    """A moment in a job's run. Until its mishap, each play reaches the same moments."""

    question: str
    number: int  # among the moments with the same question, from 1
    about: str = ""  # the call or the effect


@dataclass(frozen=True)
class Mishap:
    """One fault in a play."""

    name: str
    moment: Moment | None = None
    answer: int = 0  # to the moment's question; negative numbers count from the last answer
    # Answers to questions at all other moments of the play.
    throughout: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    seconds: int = 0  # how long the mishap lasts


NONE = Mishap("nothing went wrong")
IN_ONE_GO = Mishap("nothing went wrong, and no wait ended an invocation")
WAITED = Mishap("each wait ended its invocation")
_TWICE: Mapping[str, int] = {Question.EVENT_SENT: -2}  # each message is delivered twice
_OVERTAKEN = {"overtaken": -1, "thaw": -1}  # another worker takes over, and the first one resumes


def possible_mishaps(moments: list[Moment]) -> Iterator[Mishap]:
    """Yield all mishaps of a job that reaches these moments, in the order of the moments."""
    yield Mishap("reads without ConsistentRead missed recent writes")
    yield Mishap("every message was delivered twice", throughout=_TWICE)
    for moment in moments:
        at = f"{moment.number} ({moment.about})" if moment.about else f"{moment.number}"
        match moment.question:
            case Question.EVENT_SENT:
                yield Mishap(f"message {at} was lost", moment, -3)
            case Question.BEFORE_CALL:
                yield Mishap(f"killed before call {at}", moment, -3)
                yield Mishap(
                    f"its message was delivered again during call {at}",
                    moment,
                    -2,
                    throughout=_TWICE,
                )
                yield Mishap(
                    f"froze before call {at}, and resumed next to its successor",
                    moment,
                    -2,
                    throughout=_OVERTAKEN,
                )
                yield Mishap(
                    f"AWS refused all calls for a minute from call {at} on", moment, -1, seconds=60
                )
            case Question.AFTER_CALL:
                yield Mishap(f"killed after call {at}", moment, -2)
                yield Mishap(f"the answer to call {at} was lost", moment, -1)
            case Question.CHECKPOINT:
                yield Mishap(f"killed at checkpoint {at}", moment, -1)
                yield Mishap(f"out of time at checkpoint {at}", moment, -2)
            case Question.AFTER_CHECKPOINT:
                yield Mishap(f"killed after checkpoint {at}", moment, -1)
            case Question.AFTER_EFFECT:
                yield Mishap(f"killed after side effect {at}", moment, -1)
