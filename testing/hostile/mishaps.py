"""What can go wrong with a job, one thing at a time: a mishap is one answer to what the simulated
Lambda asks, at one moment; every other answer is the kind one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

# What is asked: by the fault injector, the simulated Lambda, and the scripted one.
BEFORE_CALL = "before a call"
AFTER_CALL = "after a call"
CHECKPOINT = "a checkpoint"
AFTER_CHECKPOINT = "after a checkpoint"
AFTER_EFFECT = "after an effect"
SENT = "an event"


@dataclass(frozen=True)
class Moment:
    """One that a job comes by in every play, up to its mishap: the so many-th of its kind."""

    kind: str
    number: int  # from 1
    about: str = ""


@dataclass(frozen=True)
class Mishap:
    """What happens at a moment. Answers are counted from the end of what can be answered: -1 is the
    last; `throughout` has those that hold for the whole play. `seconds` is how long it lasts."""

    name: str
    moment: Moment | None = None
    answer: int = 0
    throughout: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    seconds: int = 0


NONE = Mishap("nothing went wrong")
_TWICE = {SENT: -2}
_OVERTAKEN = {"overtaken": -1, "thaw": -1}


def mishaps(moments: list[Moment]) -> Iterator[Mishap]:
    """Yield every mishap of a job that comes by these moments, in their order."""
    yield Mishap("every message came twice", throughout=_TWICE)
    for moment in moments:
        at = f"{moment.number} ({moment.about})" if moment.about else f"{moment.number}"
        match moment.kind:
            case "an event":
                yield Mishap(f"message {at} was lost", moment, -3)
            case "before a call":
                yield Mishap(f"killed before call {at}", moment, -3)
                yield Mishap(
                    f"its message came again during call {at}", moment, -2, throughout=_TWICE
                )
                yield Mishap(
                    f"stood still before call {at}, and went on beside its successor",
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
