"""Play a job under a hostile Lambda: undisturbed, and then once for each thing that can go wrong.

A play is one run of the job with one mishap, such as a killed worker. The same job, payload and
code give the same plays. A play never waits in real time, and takes a few hundredths of a second.
"""

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableSequence, Sequence
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from typing import Any
from unittest.mock import patch

from job_runners import runners
from job_runners.aws import clients
from job_runners.engine.control import signaling
from job_runners.engine.registry.registry import registry
from job_runners.engine.schedules import declared_schedules
from job_runners.runners.base import JobData
from job_runners.store import queries
from job_runners.testing import moto_direct
from job_runners.testing.aws import process_settings
from job_runners.testing.hostile.effects import Effects
from job_runners.testing.hostile.mishaps import (
    AFTER_CHECKPOINT,
    CHECKPOINT,
    IN_ONE_GO,
    NONE,
    WAITED,
    Mishap,
    mishaps,
)
from job_runners.testing.hostile.report import Play, Report
from job_runners.testing.hostile.scripted_lambda import ScriptedInjector, ScriptedLambda
from job_runners.testing.job_runner import Payload, plain_payload
from job_runners.testing.saved_jobs import SavedJob, assert_succeeded
from job_runners.testing.simulation.playing import SETTINGS, fixed_randomness, quietly, sweep
from job_runners.work import waiting

_OUR_SERVICES = ("dynamodb", "lambda", "s3", "sqs")  # FaultInjector intercepts them anyway
# The pace of a play is the time between two checkpoints, in seconds. At this pace, each checkpoint
# is written. A quick job writes few of its checkpoints, so it repeats more after an interruption.
_PACE = 6.0
_SIGNAL_TIMEOUT = 30 * 86_400.0  # seconds
_CHANGED_BY_PACE = (CHECKPOINT, AFTER_CHECKPOINT)


class Hostile:
    """The value of the fixture `hostile`, which runs a job through everything that can go wrong."""

    def __init__(self) -> None:
        self.effects = Effects()

    def run(
        self,
        job_type: str,
        payload: Payload = None,
        *,
        effects: MutableSequence[Any] | None = None,
        before_each: Callable[[], object] | None = None,
        only: str | Sequence[str] = (),
        most: int = 400,
        seconds: float = 60,
        signals: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Report:
        """Play a job up to `most` times, with one mishap in each play. Return a report of all
        plays.

        The job is killed before and after each call to AWS, at each checkpoint, and after each
        recorded effect. Its messages are lost, or delivered twice, even while it runs. AWS's
        answers are lost, or AWS refuses all calls for a minute. The job runs out of time. Or it
        freezes, and resumes after another worker has taken over.

        Every play starts with empty tables, an empty bucket and no effects. `effects` is the list
        that the test's fakes append to, instead of `hostile.effects`. `before_each` sets up a play,
        and resets the fakes. `only` names mishaps of an earlier report. `fields` are fields of
        JobData. After `seconds` of real time, no more plays start, and pytest shows a warning.

        `signals` maps names to values, which the job gets when it waits for them. Then the first
        play, with which the others are compared, has no interruptions by waits. So an effect that
        is done again after a wait is found. No wait for one of the signals times out.

        Raises UnknownJobType, InvalidPayload, AssertionError if the undisturbed job does not
        succeed, and ValueError if `only` names no mishap of this job.
        """
        data = JobData(job_type=job_type, payload=plain_payload(payload), **fields)
        registry().job(job_type).validate_new(job_type, data.payload)
        deadline = time.monotonic() + seconds
        stage = _Stage(data, self.effects, effects, before_each, signals or {})
        with stage.set_up():
            undisturbed, planned = stage.plan()
            if only:
                names = [only] if isinstance(only, str) else only
                planned = [_find_mishap(name, planned) for name in names]
            chosen = _evenly_spread(planned, most)
            plays = stage.play_all(chosen, deadline)
        if len(plays) < len(chosen):
            warnings.warn(
                f"hostile did {len(plays)} of {len(chosen)} runs of {job_type} in {seconds} "
                "seconds. Raise seconds= for more.",
                stacklevel=2,
            )
        return Report(job_type, undisturbed, plays, len(planned) - len(plays))


class _Stage:
    """A job to play, and where its effects are recorded: in `recorder` or the test's own list."""

    def __init__(
        self,
        data: JobData,
        recorder: Effects,
        test_effects: MutableSequence[Any] | None,
        before_each: Callable[[], object] | None,
        signals: Mapping[str, Any],
    ) -> None:
        self._signals = signals
        self._data = data
        self._recorder = recorder
        self._test_effects = test_effects
        self._before_each = before_each

    @contextmanager
    def set_up(self) -> Iterator[None]:
        """Make this process the Lambda that runs the plays, and leave nothing behind."""
        # A job of a declared schedule would add its effects to those of the tested job.
        no_declarations = patch.object(declared_schedules, "sync", bool)
        with process_settings(SETTINGS), quietly(), no_declarations:
            runners.get_job_runner()  # imports the runner
            try:
                yield
            finally:
                self._clear()

    def plan(self) -> tuple[Play, list[tuple[Mishap, float]]]:
        """Return the undisturbed play, and all mishaps with the pace of each one's play.

        Raises AssertionError if the job doesn't succeed undisturbed.
        """
        # This play creates the clients whose calls the next plays intercept.
        self.play(NONE, pace=0)
        undisturbed, world = self.play(NONE, _PACE)
        _check_succeeded(undisturbed.job)
        planned = [(mishap, _PACE) for mishap in mishaps(world.moments)]
        if world.has_waited:
            undisturbed, _ = self.play(IN_ONE_GO, _PACE)
            _check_succeeded(undisturbed.job)
            planned.insert(0, (WAITED, _PACE))
        quick, world = self.play(NONE, pace=0)
        _check_succeeded(quick.job)
        planned += [
            (replace(mishap, name=f"{mishap.name}, in a quick run"), 0.0)
            for mishap in mishaps(world.moments)
            if mishap.moment is not None and mishap.moment.kind in _CHANGED_BY_PACE
        ]
        return undisturbed, planned

    def play_all(self, chosen: list[tuple[Mishap, float]], deadline: float) -> tuple[Play, ...]:
        """Play each of these until the deadline, in an order that spreads the plays evenly."""
        plays: dict[int, Play] = {}
        for number in sorted(range(len(chosen)), key=_reverse_bits):
            if time.monotonic() > deadline:
                break
            mishap, pace = chosen[number]
            plays[number], _ = self.play(mishap, pace)
        return tuple(plays[number] for number in sorted(plays))

    def play(self, mishap: Mishap, pace: float) -> tuple[Play, ScriptedLambda]:
        """Play the job once. Return the play and its simulated Lambda."""
        self._clear()
        if self._before_each is not None:
            self._before_each()
        world = ScriptedLambda(mishap, seconds=pace)
        more_services = [name for name in clients.services() if name not in _OUR_SERVICES]
        job_ids: list[str] = []
        with (
            world.running(),
            ScriptedInjector(world, more_services).intercepting(),
            fixed_randomness(),
            world.playing(self._recorder),
            _patient_waits(self._signals),
        ):
            world.invoke("api", lambda: job_ids.append(runners.dispatch_job(self._data).id))
            if mishap is IN_ONE_GO:
                for name in self._signals:
                    self._send(world, job_ids[0], name)
            world.run_without_faults(
                _unfinished_due_times, each_round=lambda: self._answer_waits(world)
            )
            row = queries.read(job_ids[0])
            assert row is not None
            world.has_waited = bool(row.wait_count)
            job = SavedJob.of(row)
        effects = self._recorder.seen if self._test_effects is None else self._test_effects
        outside_steps = tuple(self._recorder.outside_steps)
        return Play(mishap.name, job, tuple(effects), outside_steps), world

    def _answer_waits(self, world: ScriptedLambda) -> None:
        """Send each job the first signal of the test for which it waits."""
        if not self._signals:
            return
        for row in moto_direct.rows("jobs"):
            awaited_names = json.loads(row.get("current_wait") or "{}").get("names", [])
            names = [name for name in awaited_names if name in self._signals]
            if row["status"] == "waiting" and names:
                self._send(world, row["id"], names[0])

    def _send(self, world: ScriptedLambda, job_id: str, name: str) -> None:
        def send() -> None:
            row = queries.read(job_id)
            if row is not None:
                signaling.signal(row, name, self._signals[name], runners.sender())

        world.invoke("api", send)

    def _clear(self) -> None:
        sweep()
        self._recorder.clear()
        if self._test_effects is not None:
            del self._test_effects[:]


@contextmanager
def _patient_waits(signals: Mapping[str, Any]) -> Iterator[None]:
    """Extend the timeouts of waits for these signals.

    Otherwise a wait could time out while a worker is frozen.
    """
    wait_for, wait_for_any = waiting.wait_for, waiting.wait_for_any

    def wait(job: Any, name: str, timeout: float) -> Any:
        return wait_for(job, name, max(timeout, _SIGNAL_TIMEOUT) if name in signals else timeout)

    def wait_any(job: Any, names: Sequence[str], timeout: float, label: str) -> tuple[str, Any]:
        if set(names) & set(signals):
            timeout = max(timeout, _SIGNAL_TIMEOUT)
        return wait_for_any(job, names, timeout, label)

    with (
        patch.object(waiting, "wait_for", wait),
        patch.object(waiting, "wait_for_any", wait_any),
    ):
        yield


def _check_succeeded(job: SavedJob) -> None:
    try:
        assert_succeeded(job)
    except AssertionError as error:
        advice = ""
        if job.error is not None and job.error.kind == "WaitTimedOut":
            advice = "\n\nPass the signals that the job waits for: signals={name: value}"
        raise AssertionError(
            f"Undisturbed, the job must succeed. {error}\n\nEvery play starts with empty tables "
            f"and an empty bucket: use before_each= to put there what the job needs{advice}"
        ) from None


def _unfinished_due_times() -> list[int]:
    return [
        row["due_at"]
        for row in moto_direct.rows("jobs")
        if row["status"] not in ("succeeded", "failed", "canceled")
    ]


def _find_mishap(only: str, planned: list[tuple[Mishap, float]]) -> tuple[Mishap, float]:
    names = [mishap.name for mishap, _ in planned]
    if only in names:
        return planned[names.index(only)]
    similar = get_close_matches(only, names, n=1, cutoff=0)
    raise ValueError(f"No mishap of this job is named {only!r}. Did you mean {similar[0]!r}?")


def _reverse_bits(number: int) -> int:
    """Reverse a number's 32 bits.

    If the numbers up to 15 are sorted by this, any first few are evenly spread: 0, 8, 4, 12, 2, ...
    """
    return int(f"{number:032b}"[::-1], 2)


def _evenly_spread(planned: list[Any], most: int) -> list[Any]:
    """Return at most `most` of the planned plays, evenly spread."""
    if len(planned) <= most:
        return planned
    return [planned[number * len(planned) // most] for number in range(most)]
