"""Report the plays of a job in words: how each play ended, and what went wrong."""

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any

from job_runners.testing.hostile.mishaps import WAITED
from job_runners.testing.saved_jobs import SavedJob

_MAX_LISTED = 3  # plays that a report lists for each finding
# A job without a retry policy fails with these errors if it is interrupted. That is no finding.
_INTERRUPTION_ERRORS = ("Interrupted", "TimedOut", "NeverStarted")


@dataclass(frozen=True)
class Play:
    """One play: its mishap, the job as it ended, and its effects.

    `outside_steps` are the effects outside a step, with those that only repeated a key.
    `hostile.run(…, only=mishap)` plays it again.
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
    """All plays of a job. `undisturbed` is the play that the others are compared with.

    `left_out` is the number of mishaps that were not tried.
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
        """What went wrong, in words, each with the mishaps that caused it."""
        return {
            finding: [play.mishap for play in plays] for finding, plays in self._findings.items()
        }

    @property
    def done_twice(self) -> list[Any]:
        """The effects that a play had more often than the undisturbed one, each listed once."""
        effects: dict[str, Any] = {}
        for play in self.plays:
            for effect in _repeated_effects(play, self.undisturbed):
                effects.setdefault(repr(effect), effect)
        return list(effects.values())

    def assert_done_once(self) -> None:
        """Raise AssertionError if the undisturbed play had no effects, or as `assert_went_well`."""
        __tracebackhide__ = True
        if not self.undisturbed.effects:
            raise AssertionError(
                f"hostile saw no effect of {self.job_type!r}. Make the test's fake services call "
                "hostile.effects.record(…), or pass effects= the list that they fill"
            )
        self.assert_went_well()

    def assert_went_well(self) -> None:
        """Raise AssertionError unless every play went as well as the undisturbed one.

        No effect may occur more often, nor be repeated outside a step, even with the same key. If
        the job succeeded, no effect may be missing, and the result must be the same. If it failed,
        it must have been interrupted.
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
        """Return advice about the kinds of findings, and about the mishaps that caused them."""
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
        # A finding that waits alone cause has nothing to do with messages.
        message_mishaps = ("every message was delivered twice", "message ")
        if any(
            mishap.startswith(message_mishaps)
            for causes in self.findings.values()
            if WAITED.name not in causes
            for mishap in causes
        ):
            lines.append(
                "A task exists only as a message, which may be lost or delivered twice. If its "
                "work must be done exactly once, dispatch a job (job.dispatch), or give it an "
                "idempotency key."
            )
        return lines


_TWICE = "Done twice: "
_OUTSIDE = "Repeated outside a step: "


def _find_problems(play: Play, undisturbed: Play) -> list[str]:
    """Return in words how a play went worse than the undisturbed one."""
    repeated = list(map(repr, _repeated_effects(play, undisturbed)))
    problems = [f"{_TWICE}{effect}" for effect in repeated]
    outside = Counter(map(repr, play.outside_steps))
    outside -= Counter(map(repr, undisturbed.outside_steps))
    problems += [f"{_OUTSIDE}{effect}" for effect in outside if effect not in repeated]
    if not play.job.status.finished:
        return [*problems, "The job never ended"]
    if play.has_succeeded:
        missing = _count_effects(undisturbed) - _count_effects(play)
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
    additional = _count_effects(play) - _count_effects(undisturbed)
    by_repr = {repr(effect): effect for effect in play.effects}
    return [effect for text, effect in by_repr.items() if text in additional]


def _count_effects(play: Play) -> Counter[str]:
    return Counter(map(repr, play.effects))
