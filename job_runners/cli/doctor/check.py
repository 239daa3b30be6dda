"""The types of checks and their findings."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum

from job_runners.cli.doctor.deployed import Deployed


class Verdict(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    WRONG = "wrong"  # jobs may be lost, repeated or delayed
    ADVICE = "advice"  # the stack works, but could be safer
    UNKNOWN = "unknown"  # can't be checked here


@dataclass(frozen=True)
class Finding:
    """One result of a check, and how to fix the problem."""

    check: str
    verdict: Verdict
    what: str
    fix: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the finding as JSON for `--json`."""
        return asdict(self)


@dataclass(frozen=True)
class Issue:
    """A problem or an observation that a check's function yields. It becomes a Finding."""

    what: str
    fix: str
    verdict: Verdict = Verdict.WRONG


@dataclass(frozen=True)
class Check:
    """One check of a stack.

    `ok_message` is shown if `run` yields no issue. `not_local_because` is the reason why the check
    can't run on the local AWS.
    """

    name: str
    ok_message: str
    run: Callable[[Deployed], Iterator[Issue]]
    not_local_because: str = ""
