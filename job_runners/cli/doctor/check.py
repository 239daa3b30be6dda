"""The types of checks and of their results.

The function of a check yields issues. The report lists them as findings, with the check's name.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum

from job_runners.cli.doctor.deployed import Deployed


class Verdict(StrEnum):
    """The severity of an issue or a finding."""

    OK = "ok"
    WRONG = "wrong"  # jobs may be lost, repeated or delayed
    ADVICE = "advice"  # the stack works, but could be safer
    UNKNOWN = "unknown"  # can't be checked now, or with these credentials
    SKIPPED = "skipped"  # can't be checked on the local AWS


@dataclass(frozen=True)
class Finding:
    """One result of a check."""

    check: str  # its name
    verdict: Verdict
    what: str
    fix: str = ""  # how to fix the problem

    def as_json(self) -> dict[str, str]:
        """Return the finding as JSON for `--json`."""
        return asdict(self)


@dataclass(frozen=True)
class Issue:
    """A problem or an observation that a check's function yields."""

    what: str
    fix: str
    verdict: Verdict = Verdict.WRONG


@dataclass(frozen=True)
class Check:
    """One check of a stack."""

    name: str
    ok_message: str  # what the report says if `run` yields no issue
    run: Callable[[Deployed], Iterator[Issue]]
    skipped_locally_because: str = ""  # why the check can't run on the local AWS
