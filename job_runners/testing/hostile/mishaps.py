"""List what can go wrong with a job, one thing at a time.

The simulated Lambda asks a question at each moment that matters, such as whether to kill the job
now. A mishap is one harmful answer, at one moment. All other answers are harmless.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

# The questions of the fault injector, the simulated Lambda and the scripted Lambda.
BEFORE_CALL = "before a call"
AFTER_CALL = "after a call"
CHECKPOINT = "a checkpoint"
AFTER_CHECKPOINT = "after a checkpoint"
AFTER_EFFECT = "after an effect"
SENT = "an event"
STALE = "a stale read"


@dataclass(frozen=True)
class Moment:
    """A moment in a job. All plays reach the same moments until the mishap."""

    kind: str  # the question
    number: int  # among the moments of the same kind, from 1
    about: str = ""  # the call or the effect, in words


@dataclass(frozen=True)
class Mishap:
    """One thing that goes wrong in a play."""

    name: str
    moment: Moment | None = None
    answer: int = 0  # to the moment's question, counted from the end: -1 is the last possible one
    # the answers to other questions in the whole play
    throughout: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    seconds: int = 0  # how long the mishap lasts


NONE = Mishap("nothing went wrong")
IN_ONE_GO = Mishap("nothing went wrong, and no wait ended an invocation")
WAITED = Mishap("each wait ended its invocation")
_TWICE = {SENT: -2}  # each message is delivered twice
_OVERTAKEN = {"overtaken": -1, "thaw": -1}  # another worker takes over, and the first one resumes


def mishaps(moments: list[Moment]) -> Iterator[Mishap]:
    """Yield every mishap of a job that reaches these moments, in their order."""
    yield Mishap("reads without ConsistentRead missed recent writes")
    yield Mishap("every message was delivered twice", throughout=_TWICE)
    for moment in moments:
        at = f"{moment.number} ({moment.about})" if moment.about else f"{moment.number}"
        match moment.kind:
            case "an event":
                yield Mishap(f"message {at} was lost", moment, -3)
            case "before a call":
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
            case "after a call":
                yield Mishap(f"killed after call {at}", moment, -2)
                yield Mishap(f"the answer to call {at} was lost", moment, -1)
            case "a checkpoint":
                yield Mishap(f"killed at checkpoint {at}", moment, -1)
                yield Mishap(f"out of time at checkpoint {at}", moment, -2)
            case "after a checkpoint":
                yield Mishap(f"killed after checkpoint {at}", moment, -1)
            case "after an effect":
                yield Mishap(f"killed after effect {at}", moment, -1)
