"""A simulated Lambda, as hostile as the real one, in one process and one thread.

It may deliver an event twice or not at all, and kills invocations at their deadline. It may let a
frozen invocation continue after its deadline, alongside its successor: a zombie. Calls to AWS go
through fault_injector.py.

The simulation is deterministic: the function `choose` makes each decision, so the same choices give
the same history.
"""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import job_runners.handlers.failures
import job_runners.handlers.timer
import job_runners.handlers.worker
from job_runners import clock
from job_runners.engine.running import execution
from job_runners.settings import settings
from job_runners.testing.lambda_context import Context
from job_runners.testing.simulation.invocation import (
    SUCCEEDED,
    Event,
    Invocation,
    Killed,
    Message,
)
from job_runners.work.errors import FunctionNotLoaded

Choose = Callable[[str, int], int]
"""Takes a choice's description and its number n of options. Returns an option, from 0 to n - 1.

Option 0 is harmless.
"""


class SimulatedLambda:
    """The simulated world: its time, pending events, running invocations and statistics."""

    def __init__(self, choose: Choose, *, worker_timeout: float = 60) -> None:
        self.choose = choose
        self.time = 1_800_000_000_000
        self.is_harmless = False
        self.events: list[Event] = []
        self.stack: list[Any] = []  # of running invocations: all but the last are frozen
        self.figures: Counter[str] = Counter()  # how often each thing happened
        self.on_delivery: Callable[[Message], None] = lambda message: None
        self.on_loss: Callable[[Message], None] = lambda message: None
        self.on_end: Callable[[Any], None] = lambda invocation: None
        self._has_batch_failures = False
        self._numbers = itertools.count()
        self._worker_timeout = worker_timeout

    # --- called by tests and histories ------------------------------------------------------------

    @contextmanager
    def running(self) -> Iterator["SimulatedLambda"]:
        """Use the world's time everywhere in this block."""
        with (
            patch.object(clock, "now", self.now),
            patch("time.sleep", self._sleep),
            # The alarm at a job's timeout measures real time, and could interrupt another worker.
            patch.object(execution, "alarm", lambda _seconds: nullcontext()),
            patch.dict(vars(settings()), {"worker_classes": None}),  # one function runs all work
        ):
            yield self

    def now(self) -> int:
        """Return the time that the current invocation's clock shows."""
        return self.time

    def spend(self, seconds: float) -> None:
        """Let time pass, as if the current invocation worked. At its deadline, it is killed."""
        self.time += int(seconds * clock.SECOND)
        self.check_alive("working")

    def step(self) -> None:
        """Deliver one due event, or run the timer if no event is due."""
        for event in self.events:
            if event.at <= self.time:
                self.events.remove(event)
                self._deliver(event)
                return
        self.tick()

    def tick(self) -> None:
        """Run the timer."""
        self._invoke("timer", {"source": "aws.events"}, job_runners.handlers.timer.handler, 60)

    def run_without_faults(
        self, unfinished: Callable[[], list[int]], each_round: Callable[[], None] = lambda: None
    ) -> None:
        """Deliver events and run the timer until every job is finished, but at most 400 times.

        `unfinished` returns the due times of unfinished rows. `each_round` is called before each
        round.
        """
        for _ in range(400):
            each_round()
            due_times = unfinished() + [event.at for event in self.events]
            if not due_times:
                return
            self.time = max(self.time + clock.SECOND, min(due_times))
            self._deliver_ready()
            self._tick_if_due(unfinished())

    def _tick_if_due(self, due_times: list[int]) -> None:
        # A timer run without due rows has no effect, but would take most of a history's real time.
        if due_times and min(due_times) <= self.time:
            self.tick()

    def invoke(self, name: str, call: Callable[[], object]) -> None:
        """Call a function, such as one that sends an API request, in an invocation of its own."""

        def handler(_body: Any, _context: Any) -> None:
            call()

        self._invoke(name, None, handler, 30)

    # --- invocations ------------------------------------------------------------------------------

    def _deliver(self, event: Event) -> None:
        if event.function == "worker":
            self._deliver_to_worker(event)
        elif event.function == "delay queue":
            self._deliver_from_queue(event, job_runners.handlers.timer.handler)
        else:
            self._deliver_from_queue(event, job_runners.handlers.failures.handler)

    def _deliver_to_worker(self, event: Event) -> None:
        self.on_delivery(event.message)
        failure = self._invoke(
            "worker",
            event.body,
            job_runners.handlers.worker.handler,
            self._timeout_of(event),
            event,
        )
        if failure is None:
            return
        if not self._last_invocation.is_reported:
            self._lose_record(event)
            return
        kind = self._kind_of(failure)
        # A worker that can't load a job's function began nothing, so it caused nothing.
        cause = None if kind == FunctionNotLoaded.__name__ else self._last_invocation
        self._give_up(event, "RetriesExhausted", 1, kind, failure, cause)

    def _timeout_of(self, _event: Event) -> float:
        """Return the timeout, in seconds, of the worker that gets an event."""
        return self._worker_timeout

    def _kind_of(self, failure: str) -> str:
        """Return the type of error that Lambda reports for a failure."""
        return failure.partition(":")[0]

    def _give_up(
        self,
        event: Event,
        condition: str,
        count: int,
        kind: str | None,
        text: str = "",
        cause: Any = None,
    ) -> None:
        """Stop delivering an event, and send its failure record."""
        record = {
            "requestContext": {"condition": condition, "approximateInvokeCount": count},
            "requestPayload": event.body,
        }
        if kind is not None:
            record["responsePayload"] = {"errorType": kind, "errorMessage": text or kind}
        self._add("failures", record, self._delay_of("record"), cause=cause)

    def _lose_record(self, event: Event) -> None:
        self.figures["records lost"] += 1
        self.on_loss(event.message)

    def _deliver_from_queue(self, event: Event, handler: Callable[[Any, Any], Any]) -> None:
        """Deliver a queue's message. If the function fails, deliver it again later."""
        records = {"Records": [{"messageId": "m", "body": json.dumps(event.body)}]}
        failure = self._invoke(event.function, records, handler, 60, event)
        if failure is not None or self._has_batch_failures:
            self._add(event.function, event.body, 60, cause=event.cause)

    def _invoke(
        self,
        name: str,
        body: Any,
        handler: Callable[[Any, Any], Any],
        timeout: float,
        event: Event | None = None,
    ) -> str | None:
        """Run a function. Return Lambda's description of its failure, or None if it succeeded."""
        deadline = self.time + int(timeout * clock.SECOND)
        invocation = self._new_invocation(name, deadline, event)
        self.stack.append(invocation)
        self._switch_to(invocation)
        self._has_batch_failures = False
        try:
            event_body = body if isinstance(body, bytes) else json.loads(json.dumps(body))
            result = handler(event_body, self._context(invocation))
        except Killed:
            invocation.ended = "killed"
        except Exception as error:  # noqa: BLE001 - Lambda records any error
            self.figures["errors"] += 1
            invocation.ended = f"{type(error).__name__}: {error}"
        else:
            invocation.ended = SUCCEEDED
            self._has_batch_failures = bool(result and result["batchItemFailures"])
        finally:
            self.stack.pop()
            self._switch_to(self.stack[-1] if self.stack else None)
        self._last_invocation = invocation
        self.on_end(invocation)
        return None if invocation.ended == SUCCEEDED else invocation.ended

    def _context(self, invocation: Any) -> Context:
        """Return the context object that the handler gets."""
        return Context(milliseconds_left=lambda: invocation.deadline - self.time)

    def _new_invocation(self, name: str, deadline: int, event: Event | None) -> Any:
        cause = event.cause if event else None
        return Invocation(name, deadline, event.message if event else {}, cause=cause)

    def _switch_to(self, invocation: Any) -> None:
        """Prepare this process to run an invocation's code. Subclasses may override it."""

    # --- called by the fault injector -------------------------------------------------------------

    def freeze(self) -> None:
        """Freeze the current invocation while the world continues, perhaps past its job's lease."""
        self.figures["freezes"] += 1
        invocation = self.stack[-1] if self.stack else None
        if self.pick("overtaken", 2) == 1:
            self._overtake()
        self._happen_while_frozen(invocation)
        step_count = 1 + self.pick("how much happens", 6)
        for _ in range(step_count):
            self.step()
        if invocation and self.time > invocation.deadline and self.pick("thaw", 4):
            invocation.zombie = True
            self.figures["zombies"] += 1
        self.check_alive("after a freeze")

    def _happen_while_frozen(self, invocation: Any) -> None:
        """Do further harm while an invocation is frozen. Subclasses may override it."""

    def _overtake(self) -> None:
        """Let the job's lease run out, and let the timer start another worker."""
        for minutes in (3, 25):
            self.time += minutes * clock.MINUTE
            self.tick()
            self._deliver_ready()

    def _deliver_ready(self) -> None:
        """Deliver all events that are due by now, in order, and due events that they cause."""
        end = self.time
        while due_events := [event for event in self.events if event.at <= end]:
            event = min(due_events)
            self.events.remove(event)
            self._deliver(event)

    def check_alive(self, when: str) -> None:
        """Raise Killed if the current invocation is dead or past its deadline."""
        if not self.stack:
            return
        invocation = self.stack[-1]
        if invocation.dead:
            raise Killed
        if self.time >= invocation.deadline and not invocation.zombie:
            self.kill(f"at its deadline, {when}")

    def kill(self, when: str) -> None:
        """Kill the current invocation."""
        if self.stack and not self.is_harmless:
            self.figures["kills"] += 1
        if self.stack:
            self.stack[-1].dead = True
            raise Killed(when)

    def take_invoke(self, message: Message) -> None:
        """Accept a message for a worker, which arrives once, twice or not at all."""
        fate = self.pick("an event", 8)  # 5 loses it, 6 and 7 repeat it
        if fate == 5:
            self.on_loss(message)
        else:
            self._add("worker", message, 0)
        if fate in (6, 7):
            self._add("worker", message, 0)

    def take_delayed(self, message: Message, delay: float) -> None:
        """Put a message into the delay queue."""
        self._add("delay queue", message, delay)

    def _delay_of(self, _what: str) -> float:
        """Return the seconds until something arrives. Subclasses may override it."""
        return 0

    def _add(
        self,
        function: str,
        body: Any,
        delay: float,
        hops: int = 0,
        cause: Invocation | None = None,
        worker_class: str | None = None,
    ) -> None:
        at = self.time + int(delay * clock.SECOND)
        number = next(self._numbers)
        self.events.append(Event(at, number, function, body, hops, cause, worker_class))

    def pick(self, what: str, n: int) -> int:
        """Let `choose` choose from n options. While the world is harmless, return option 0."""
        return 0 if self.is_harmless else self.choose(what, n)

    def _sleep(self, _seconds: float) -> None:
        # Ignore the delay, because botocore's delays between retries are random.
        self.time += clock.SECOND
