"""Run a job on a simulated Lambda: once undisturbed, and then once for each possible fault.

A fault is called a mishap, for example a killed worker, and a run with one mishap is called a play.
The same job, payload and code give the same plays. A play takes a few hundredths of a second,
because its clock is simulated.
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
from job_runners.testing.aws import as_new_process
from job_runners.testing.hostile.effects import Effects
from job_runners.testing.hostile.mishaps import (
    IN_ONE_GO,
    NONE,
    WAITED,
    Mishap,
    Question,
    possible_mishaps,
)
from job_runners.testing.hostile.report import Play, Report
from job_runners.testing.hostile.scripted_lambda import ScriptedInjector, ScriptedLambda
from job_runners.testing.job_runner import Payload, plain_payload
from job_runners.testing.saved_jobs import SavedJob, assert_succeeded
from job_runners.testing.simulation.fault_injector import SERVICES
from job_runners.testing.simulation.playing import SETTINGS, fixed_randomness, quietly, sweep
from job_runners.work import waiting

# A play's pace is the simulated time between two checkpoints, in seconds. A slow job writes each
# checkpoint. A quick job writes few of them, so it repeats more work after an interruption.
_SLOW_PACE = 6.0
_QUICK_PACE = 0.0
_DEPENDS_ON_PACE = (Question.CHECKPOINT, Question.AFTER_CHECKPOINT)
_SIGNAL_TIMEOUT = 30 * 86_400.0  # seconds


class Hostile:
    """Runs a job with each fault that Lambda may cause. This is the value of a fixture."""

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
        """Run a job up to `most` times, each time with a different mishap. Return a report of all
        runs.

        The job is killed before and after each call to AWS, at each checkpoint, and after each
        recorded effect. Its messages are lost, or delivered twice, even while it runs. AWS's
        answers are lost, or AWS refuses all calls for a minute. The job runs out of time. Or it
        freezes, and resumes after another worker has taken over.

        Every run starts with empty tables, an empty bucket and no effects. `effects` is the list
        that the test's fakes append to, if they don't use `hostile.effects`. `before_each` prepares
        a run, and resets the fakes. `only` names mishaps of an earlier report. `fields` are those
        of JobData. After `seconds` of real time, no more runs start, and pytest shows a warning.

        `signals` maps the names of signals to the values that the job gets when it waits for them.
        Waits for these signals never time out. In the undisturbed run, they don't interrupt the
        job, so the report finds effects that a job repeats after a wait.

        Raises UnknownJobType, InvalidPayload, AssertionError if the undisturbed job doesn't
        succeed, or ValueError if `only` names no mishap of this job.
        """
        data = JobData(job_type=job_type, payload=plain_payload(payload), **fields)
        registry().job(job_type).validate_new(job_type, data.payload)
        deadline = time.monotonic() + seconds
        player = _Player(data, self.effects, effects, before_each, signals or {})
        with player.set_up():
            undisturbed, planned = player.plan()
            if only:
                names = [only] if isinstance(only, str) else only
                planned = [_find_mishap(name, planned) for name in names]
            chosen = _evenly_spread(planned, most)
            plays = player.play_all(chosen, deadline)
        if len(plays) < len(chosen):
            warnings.warn(
                f"hostile did {len(plays)} of {len(chosen)} runs of {job_type} in {seconds} "
                "seconds. Raise seconds= for more.",
                stacklevel=2,
            )
        return Report(job_type, undisturbed, plays, len(planned) - len(plays))


class _Player:
    """Plays one job. If the test passed its own list of effects, this is `test_effects`."""

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
        """Prepare this process for the simulated Lambda. At the end, clear tables and bucket."""
        # Jobs of schedules would add their effects to those of the tested job.
        no_schedules = patch.object(declared_schedules, "sync", bool)
        with as_new_process(SETTINGS), quietly(), no_schedules:
            runners.get_job_runner()  # imports the runner
            try:
                yield
            finally:
                self._clear()

    def plan(self) -> tuple[Play, list[tuple[Mishap, float]]]:
        """Return the undisturbed play, and each mishap with the pace at which to play it.

        Raises AssertionError if the undisturbed job doesn't succeed.
        """
        # This play creates the clients whose calls the next plays intercept.
        self.play(NONE, _QUICK_PACE)
        undisturbed, world = self.play(NONE, _SLOW_PACE)
        _check_succeeded(undisturbed.job)
        planned = [(mishap, _SLOW_PACE) for mishap in possible_mishaps(world.moments)]
        if world.has_waited:
            undisturbed, _ = self.play(IN_ONE_GO, _SLOW_PACE)
            _check_succeeded(undisturbed.job)
            planned.insert(0, (WAITED, _SLOW_PACE))
        quick_play, world = self.play(NONE, _QUICK_PACE)
        _check_succeeded(quick_play.job)
        for mishap in possible_mishaps(world.moments):
            if mishap.moment is not None and mishap.moment.question in _DEPENDS_ON_PACE:
                quick_mishap = replace(mishap, name=f"{mishap.name}, in a quick run")
                planned.append((quick_mishap, _QUICK_PACE))
        return undisturbed, planned

    def play_all(self, chosen: list[tuple[Mishap, float]], deadline: float) -> tuple[Play, ...]:
        """Play the mishaps until the deadline, in an order that tries all kinds of them early."""
        plays: dict[int, Play] = {}
        for index in sorted(range(len(chosen)), key=_reverse_bits):
            if time.monotonic() > deadline:
                break
            mishap, pace = chosen[index]
            plays[index], _ = self.play(mishap, pace)
        return tuple(plays[index] for index in sorted(plays))

    def play(self, mishap: Mishap, pace: float) -> tuple[Play, ScriptedLambda]:
        """Play the job once. Return the play and its simulated Lambda."""
        self._clear()
        if self._before_each is not None:
            self._before_each()
        world = ScriptedLambda(mishap, pace)
        more_services = sorted(set(clients.services()) - set(SERVICES))
        job_ids: list[str] = []
        with (
            world.running(),
            ScriptedInjector(world, more_services).intercepting(),
            fixed_randomness(),
            world.playing(self._recorder),
            _long_signal_timeouts(self._signals),
        ):
            world.invoke("api", lambda: job_ids.append(runners.dispatch_job(self._data).id))
            if mishap is IN_ONE_GO:
                for name in self._signals:
                    self._send_signal(world, job_ids[0], name)
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
        """Send each waiting job the first of the test's signals that it waits for."""
        if not self._signals:
            return
        for row in moto_direct.rows("jobs"):
            awaited_names = json.loads(row.get("current_wait") or "{}").get("names", [])
            names = [name for name in awaited_names if name in self._signals]
            if row["status"] == "waiting" and names:
                self._send_signal(world, row["id"], names[0])

    def _send_signal(self, world: ScriptedLambda, job_id: str, name: str) -> None:
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
def _long_signal_timeouts(signals: Mapping[str, Any]) -> Iterator[None]:
    """Extend waits for these signals, which could otherwise time out while a worker is frozen."""
    original_wait_for = waiting.wait_for
    original_wait_for_any = waiting.wait_for_any

    def wait_for(job: Any, name: str, timeout: float) -> Any:
        if name in signals:
            timeout = max(timeout, _SIGNAL_TIMEOUT)
        return original_wait_for(job, name, timeout)

    def wait_for_any(job: Any, names: Sequence[str], timeout: float, label: str) -> tuple[str, Any]:
        if set(names) & set(signals):
            timeout = max(timeout, _SIGNAL_TIMEOUT)
        return original_wait_for_any(job, names, timeout, label)

    with (
        patch.object(waiting, "wait_for", wait_for),
        patch.object(waiting, "wait_for_any", wait_for_any),
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


def _find_mishap(name: str, planned: list[tuple[Mishap, float]]) -> tuple[Mishap, float]:
    names = [mishap.name for mishap, _ in planned]
    if name in names:
        return planned[names.index(name)]
    similar = get_close_matches(name, names, n=1, cutoff=0)
    raise ValueError(f"No mishap of this job is named {name!r}. Did you mean {similar[0]!r}?")


def _reverse_bits(number: int) -> int:
    """Reverse a number's 32 bits.

    Sorted by this, the first few numbers are always spread evenly. Up to 15: 0, 8, 4, 12, 2, ...
    """
    return int(f"{number:032b}"[::-1], 2)


def _evenly_spread(planned: list[Any], most: int) -> list[Any]:
    """Return at most `most` of the planned plays, evenly spread."""
    if len(planned) <= most:
        return planned
    return [planned[index * len(planned) // most] for index in range(most)]
