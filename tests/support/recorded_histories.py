"""Plays histories under a simulated Lambda, and asks the model whether each write is one of its."""

from collections.abc import Iterable, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

from histories.faults import ALL, Fault
from histories.history import play_seed
from histories.invariant_checker import Violation
from histories.write_recorder import RecordedLambda, Write, module
from tools import tlc

_SECONDS = 150  # for TLC
WITHOUT_LIMITS = ALL - {
    *(Fault.LIMITS, Fault.UNIQUE, Fault.FOLLOW_UPS, Fault.SUBSCRIPTIONS, Fault.GROUPS),
    Fault.CLASSES,  # which no model has
}
# Queues with limits, and little else: so that many slots are given.
LIMITED = frozenset({Fault.LIMITS, Fault.MACHINES, Fault.CONFLICT, Fault.NO_ANSWER})

Histories = list[dict[str, list[Write]]]


def recorded(seeds: Iterable[int], faults: Set[Fault] = WITHOUT_LIMITS) -> Histories:
    """Return the writes of the histories of these seeds, even of those that break a promise. Queues
    have limits in none of them, unless that is among the faults."""
    histories: Histories = []

    def world(*arguments: Any, **options: Any) -> RecordedLambda:
        new = RecordedLambda(*arguments, **options)
        histories.append(new.recorder.writes)
        return new

    for seed in seeds:
        with suppress(Violation):
            play_seed(seed, faults, world)  # type: ignore[arg-type] # only called
    return histories


def not_of_the_model(histories: Histories, folder: Path) -> str | None:
    """Return TLC's words about a write that the model does not have; None if it has them all."""
    written = folder / "Recorded.tla"
    written.write_text(module(written.stem, histories))
    found = tlc.check(
        written,
        tlc.Config(
            constants={
                "Broken": '"none"',
                "Rows": "<- TheRows",
                "Histories": "<- TheHistories",
            },
            invariants=["Follows"],
        ),
        seconds=_SECONDS,
    )
    return found.output if found.violated else None
