"""Report a job's plays in words: how each one ended, and what went wrong."""

from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import Any

from job_runners.testing.hostile.mishaps import WAITED
from job_runners.testing.saved_jobs import SavedJob

_MAX_LISTED = 3  # plays that a report lists for each finding
# An interrupted job without a retry policy fails with one of these errors, as it should.
_INTERRUPTION_ERRORS = ("Interrupted", "TimedOut", "NeverStarted")


@dataclass(frozen=True)
class Play:
    """One run of the job with one mishap: the finished job, and its effects.

    `outside_steps` has the effects outside a step, even if they repeated a key. To repeat the run,
    call `hostile.run(…, only=mishap)`.
    """

    mishap: str
    job: SavedJob
    effects: tuple[Any, ...]
    outside_steps: tuple[Any, ...] = ()

    @property
    def ending(self) -> str:
        """How the job ended, in a few words."""
        if not self.job.status.finished:
            return "never ended"
        if self.job.status == "failed" and self.job.error is not None:
            return f"failed with {self.job.error.kind}"
        return str(self.job.status)

    @property
    def outcome(self) -> str:
        """How the job ended, with its attempt and its error."""
        if not self.job.status.finished:
            return f"never ended: {self.job.state}"
        error = f" with {self.job.error}" if self.job.error and not self.has_succeeded else ""
        return f"{self.job.status} in attempt {self.job.attempt}{error}"

    @property
    def has_succeeded(self) -> bool:
        """Whether the job has succeeded."""
        return self.job.status == "succeeded"


@dataclass(frozen=True)
class Report:
    """All plays of a job, which are compared with `undisturbed`, the play without a mishap.

    `left_out` is the number of mishaps that weren't played.
    """

    job_type: str
    undisturbed: Play
    plays: tuple[Play, ...]
    left_out: int = 0
    _findings: dict[str, list[Play]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        plays_by_finding: dict[str, list[Play]] = {}
        for play in self.plays:
            for finding in _find_problems(play, self.undisturbed):
                plays_by_finding.setdefault(finding, []).append(play)
        object.__setattr__(self, "_findings", plays_by_finding)

    @property
    def findings(self) -> dict[str, list[str]]:
        """What went wrong: descriptions, each with the names of the mishaps that caused it."""
        return {
            finding: [play.mishap for play in plays] for finding, plays in self._findings.items()
        }

    @property
    def done_twice(self) -> list[Any]:
        """The side effects that a play had more often than the undisturbed one, each once."""
        effects: dict[str, Any] = {}
        for play in self.plays:
            for effect in _repeated_effects(play, self.undisturbed):
                effects.setdefault(repr(effect), effect)
        return list(effects.values())

    def assert_done_once(self) -> None:
        """Call `assert_went_well`, but first check that the undisturbed play had any effects."""
        __tracebackhide__ = True
        if not self.undisturbed.effects:
            raise AssertionError(
                f"hostile saw no side effect of {self.job_type!r}. Make the test's fake services "
                "call hostile.effects.record(…), or pass effects= the list that they fill"
            )
        self.assert_went_well()

    def assert_went_well(self) -> None:
        """Raise AssertionError unless every play went as well as the undisturbed one.

        No side effect may occur more often, or be repeated outside a step, even with the same key.
        If the job succeeded, no side effect may be missing, and its result must be the same. It may
        fail only because it was interrupted.
        """
        __tracebackhide__ = True
        if self._findings:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        mishaps = {play.mishap for plays in self._findings.values() for play in plays}
        endings = Counter(play.ending for play in self.plays)
        status = ", ".join(f"{count} {ending}" for ending, count in endings.most_common())
        problems = f"{len(mishaps)} of {len(self.plays)} runs had problems"
        lines = [f"{self.job_type!r}: {problems} (status: {status})."]
        for finding, plays in self._findings.items():
            lines += ["", finding]
            lines += [f"  {play.mishap}; {play.outcome}" for play in plays[:_MAX_LISTED]]
            if len(plays) > _MAX_LISTED:
                lines.append(f"  and in {len(plays) - _MAX_LISTED} more runs")
        if self._findings:
            first_play = next(iter(self._findings.values()))[0]
            lines += [
                "",
                f"Repeat one run: hostile.run({self.job_type!r}, …, only={first_play.mishap!r})",
            ]
        lines += self._advice(mishaps)
        if self.left_out:
            lines.append(
                f"{self.left_out} more runs were left out. Raise most= or seconds= for more."
            )
        return "\n".join(lines)

    def _advice(self, mishaps: Set[str]) -> list[str]:
        """Return advice that fits the findings and the mishaps that caused them."""
        lines = []
        if any(finding.startswith(_TWICE) for finding in self._findings):
            lines.append(
                "A job may be interrupted anywhere, and starts again at its last checkpoint. If an "
                "action must not happen twice, do it in a job.step, and give it an idempotency "
                "key, such as f'{job.id}/{name}'."
            )
        if any(finding.startswith(_OUTSIDE) for finding in self._findings):
            lines.append(
                "The fake took the same key for the same effect. Outside a step, a job repeats an "
                "effect each time it starts again, so the real system must take keys and remember "
                "them. Put the effect into a job.step."
            )
        if WAITED.name in mishaps:
            lines.append(
                "After each wait, a job's function runs again from its start. Put each effect that "
                "comes before a wait into a job.step."
            )
        if self._messages_caused_findings():
            lines.append(
                "A task exists only as a message, which may be lost or delivered twice. If its "
                "work must be done exactly once, dispatch a job (job.dispatch), or give it an "
                "idempotency key."
            )
        return lines

    def _messages_caused_findings(self) -> bool:
        """Return whether lost or repeated messages caused a finding that waits don't cause."""
        return any(
            mishap.startswith(("every message was delivered twice", "message "))
            for causes in self.findings.values()
            if WAITED.name not in causes
            for mishap in causes
        )


_TWICE = "Done twice: "
_OUTSIDE = "Repeated outside a step: "


def _find_problems(play: Play, undisturbed: Play) -> list[str]:
    """Describe how a play went worse than the undisturbed one."""
    repeated = [repr(effect) for effect in _repeated_effects(play, undisturbed)]
    problems = [f"{_TWICE}{effect}" for effect in repeated]
    repeated_outside = _count(play.outside_steps) - _count(undisturbed.outside_steps)
    problems += [f"{_OUTSIDE}{effect}" for effect in repeated_outside if effect not in repeated]
    if not play.job.status.finished:
        return [*problems, "The job never ended"]
    if play.has_succeeded:
        missing = _count(undisturbed.effects) - _count(play.effects)
        problems += [f"Missing, though the job succeeded: {effect}" for effect in missing]
        if play.job.result != undisturbed.job.result:
            problems.append(
                f"Wrong result: {play.job.result!r}, undisturbed {undisturbed.job.result!r}"
            )
    elif play.job.error is not None and play.job.error.kind not in _INTERRUPTION_ERRORS:
        problems.append(f"The job {play.job.status} with {play.job.error}")
    return problems


def _repeated_effects(play: Play, undisturbed: Play) -> list[Any]:
    """Return the effects that a play had more often than the undisturbed one, each once."""
    additional = _count(play.effects) - _count(undisturbed.effects)
    by_repr = {repr(effect): effect for effect in play.effects}
    return [effect for text, effect in by_repr.items() if text in additional]


def _count(effects: Iterable[Any]) -> Counter[str]:
    """Count the effects by their repr, because they may be unhashable."""
    return Counter(map(repr, effects))
