"""Report the plays of a job in words: how each play ended, and what went wrong."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from job_runners.testing.hostile.mishaps import WAITED
from job_runners.testing.saved_jobs import SavedJob

_SHOWN = 3  # plays that a report lists for each finding
# The errors with which an interrupted job without a retry policy fails. They aren't its fault.
_CUT_OFF = ("Interrupted", "TimedOut", "NeverStarted")


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
        found: dict[str, list[Play]] = {}
        for play in self.plays:
            for finding in _findings(play, self.undisturbed):
                found.setdefault(finding, []).append(play)
        object.__setattr__(self, "_findings", found)

    @property
    def findings(self) -> dict[str, list[str]]:
        """What went wrong, in words, each with the mishaps that caused it."""
        return {what: [play.mishap for play in plays] for what, plays in self._findings.items()}

    @property
    def done_twice(self) -> list[Any]:
        """The effects that a play had more often than the undisturbed one, each listed once."""
        found: dict[str, Any] = {}
        for play in self.plays:
            for effect in _more(play, self.undisturbed):
                found.setdefault(repr(effect), effect)
        return list(found.values())

    def assert_done_once(self) -> None:
        """Raise AssertionError unless `assert_went_well` passes and the undisturbed play had
        effects."""
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
        wrong = [play for found in self._findings.values() for play in found]
        plays = {play.mishap for play in wrong}
        ends = Counter(play.ending for play in self.plays)
        counted = ", ".join(f"{n} {ending}" for ending, n in ends.most_common())
        problems = f"{len(plays)} of {len(self.plays)} runs had problems"
        lines = [f"{self.job_type!r}: {problems} (status: {counted})."]
        for finding, found in self._findings.items():
            lines += ["", finding]
            lines += [f"  {play.mishap}; {play.outcome}" for play in found[:_SHOWN]]
            if len(found) > _SHOWN:
                lines.append(f"  and in {len(found) - _SHOWN} more runs")
        if self._findings:
            first = next(iter(self._findings.values()))[0]
            lines += [
                "",
                f"Repeat one run: hostile.run({self.job_type!r}, …, only={first.mishap!r})",
            ]
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
        if WAITED.name in plays:
            lines.append(
                "After each wait, a job's function runs again from its start. Put each effect that "
                "comes before a wait into a job.step."
            )
        # A finding of the play that only waits has nothing to do with messages.
        not_by_waits = [
            play
            for found in self._findings.values()
            if WAITED.name not in [each.mishap for each in found]
            for play in found
        ]
        message_mishaps = ("every message was delivered twice", "message ")
        if any(play.mishap.startswith(message_mishaps) for play in not_by_waits):
            lines.append(
                "A task exists only as a message, which may be lost or delivered twice. If its "
                "work must be done exactly once, dispatch a job (job.dispatch), or give it an "
                "idempotency key."
            )
        if self.left_out:
            lines.append(
                f"{self.left_out} more runs were left out. Raise most= or seconds= for more."
            )
        return "\n".join(lines)


_TWICE = "Done twice: "
_OUTSIDE = "Repeated outside a step: "


def _findings(play: Play, undisturbed: Play) -> list[str]:
    twice = set(map(repr, _more(play, undisturbed)))
    found = [f"{_TWICE}{effect!r}" for effect in _more(play, undisturbed)]
    outside = Counter(map(repr, play.outside_steps))
    outside -= Counter(map(repr, undisturbed.outside_steps))
    found += [f"{_OUTSIDE}{effect}" for effect in outside if effect not in twice]
    if not play.job.status.finished:
        return [*found, "The job never ended"]
    if play.has_succeeded:
        missing = _counted(undisturbed) - _counted(play)
        found += [f"Missing, though the job succeeded: {effect}" for effect in missing]
        if play.job.result != undisturbed.job.result:
            found.append(
                f"Wrong result: {play.job.result!r}, undisturbed {undisturbed.job.result!r}"
            )
    elif play.job.error is not None and play.job.error.kind not in _CUT_OFF:
        found.append(f"The job {play.job.status} with {play.job.error}")
    return found


def _more(play: Play, undisturbed: Play) -> list[Any]:
    """Return the effects that a play had more often than the undisturbed one, each once."""
    more = _counted(play) - _counted(undisturbed)
    return list({repr(each): each for each in play.effects if repr(each) in more}.values())


def _counted(play: Play) -> Counter[str]:
    return Counter(map(repr, play.effects))
