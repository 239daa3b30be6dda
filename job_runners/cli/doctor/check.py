"""What a check is, and what it finds."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum

from job_runners.cli.doctor.deployed import Deployed


class Verdict(StrEnum):
    """How a finding is meant."""

    OK = "ok"
    WRONG = "wrong"  # jobs may be lost, repeated or held up
    ADVICE = "advice"  # works, and could be safer
    UNKNOWN = "unknown"  # can't be checked here


@dataclass(frozen=True)
class Finding:
    """One thing that a check found, and how to fix it."""

    check: str
    verdict: Verdict
    what: str
    fix: str = ""

    def as_json(self) -> dict[str, str]:
        """For a program."""
        return asdict(self)


@dataclass(frozen=True)
class Issue:
    """What a check's own code says of one thing that is wrong."""

    what: str
    fix: str
    verdict: Verdict = Verdict.WRONG


@dataclass(frozen=True)
class Check:
    """One question about a stack.

    `ok_message` is what is true if `run` finds no issue. `not_local_because` says why the local AWS
    can't show it.
    """

    name: str
    ok_message: str
    run: Callable[[Deployed], Iterator[Issue]]
    not_local_because: str = ""
