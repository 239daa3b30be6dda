"""A history in which the test says what happens, step by step, and nothing else goes wrong."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from histories.declared_queues import LIMITED
from histories.faults import Fault
from histories.history import History
from histories.operators import Operators
from job_runners import clock, runners
from job_runners.engine.control import caller_actions
from job_runners.store import limits, queries
from job_runners.store.job_request import JobRequest
from job_runners.store.rate import Rate
from job_runners.testing.simulation.invocation import Event

_LONG = 900.0  # seconds that a worker has: what happens meanwhile takes time
_KNOWN_TO_ALL = 60 * clock.SECOND  # after this, nobody goes by limits of before


class ScriptedHistory:
    """Jobs of a queue with limits, under a Lambda that does as it is told."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.world = history.world
        self._events: dict[str, Event] = {}  # the last one delivered, by job

    def dispatch(self) -> str:
        """Dispatch a job into the queue; return its id."""
        before = set(self._history.checker.accepted)
        self._history.dispatch()
        (job_id,) = self._history.checker.accepted - before
        return job_id

    def run(self, job_id: str, during: Callable[[], object] = lambda: None) -> None:
        """Deliver a message about a job: one that is under way, or else the last one once more. If
        that starts it, something else happens while it runs."""
        events = self.world.events
        about = [each for each in events if each.function == "worker" and _is_of(each, job_id)]
        event = about[0] if about else self._events[job_id]
        if about:
            events.remove(event)
        self._events[job_id] = event
        acts = [during]

        def others_go_on() -> None:
            if acts:
                acts.pop()()

        with patch.object(self._history, "_let_others_run", others_go_on):
            self.world._deliver(event)

    def limit(self, slots: int | None, rate: Rate | None = None) -> None:
        """Change the queue's limits, and wait until everybody knows."""
        self.ask(lambda: limits.put(LIMITED, slots=slots, rate=rate))
        self.world.time += _KNOWN_TO_ALL

    def days_pass(self, number: int) -> None:
        """So many days pass, and DynamoDB deletes what has expired."""
        self.world.time += number * clock.DAY
        self.world.expire_items()

    @property
    def operators(self) -> Operators:
        """The owners of the jobs and schedules, and the operators of the stack."""
        return self._history.operators

    def cancel(self, job_id: str) -> None:
        """Its owner cancels a job."""
        self.ask(lambda: caller_actions.cancel(self.row(job_id), runners.sender()))

    def ask(self, call: Callable[[], object]) -> None:
        """Somebody makes a request to the API."""
        self.world.invoke("api", call)

    def row(self, job_id: str) -> JobRequest:
        """Return a job's row as it is now."""
        row = queries.read(job_id)
        assert row is not None
        return row

    @property
    def violations(self) -> list[str]:
        """What has happened that must not."""
        return self._history.checker.violations


@contextmanager
def scripted(*faults: Fault) -> Iterator[ScriptedHistory]:
    """Yield a history that is under way, on the stage. Its queue has one slot. These faults are on,
    too."""
    with History(lambda _what, _n: 0, {Fault.LIMITS, *faults}) as history:
        history.world._worker_timeout = _LONG
        yield ScriptedHistory(history)


@contextmanager
def before(owner: Any, name: str, act: Callable[[], object]) -> Iterator[None]:
    """Have something happen just before the first call of a function inside."""
    call, acts = getattr(owner, name), [act]

    def acting(*arguments: Any, **more: Any) -> Any:
        if acts:
            acts.pop()()
        return call(*arguments, **more)

    with patch.object(owner, name, acting):
        yield


def _is_of(event: Event, job_id: str) -> bool:
    return bool(event.message.get("id") == job_id)
