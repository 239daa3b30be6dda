"""A simulated Lambda that is as hostile as the real one may be. It uses one process and one thread.

It delivers events twice, late, out of order or not at all, and kills an invocation at its deadline.
It may let a frozen invocation continue after its deadline, alongside its successor. Such an
invocation is called a zombie. The clocks of invocations differ. Calls to AWS go through
`fault_injector`.

The simulation is deterministic. `choose` decides each step, and the same answers give the same
history.
"""

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import job_runners.handlers.failures
import job_runners.handlers.timer
import job_runners.handlers.worker
from job_runners import clock
from job_runners.engine.running import execution
from job_runners.store import limits, pauses, webhooks
from job_runners.testing.lambda_context import Context
from job_runners.testing.moto_direct import Row
from job_runners.testing.simulation import legacy_process, worker_classes
from job_runners.testing.simulation.declared_queues import DeclaredQueues
from job_runners.testing.simulation.deploys import Deploys, Version
from job_runners.testing.simulation.faults import Fault
from job_runners.testing.simulation.invocation import (
    WELL,
    Event,
    Invocation,
    Killed,
    Message,
    id_of,
)
from job_runners.testing.simulation.storms import Storms
from job_runners.testing.simulation.worker_classes import (
    TIMEOUTS,
    TODAY,
    WorkerClasses,
)
from job_runners.work.errors import EntryNotLoaded

Choose = Callable[[str, int], int]
"""Takes a description of the choice and a number n. Returns a number from 0 to n - 1. 0 is the
harmless choice."""

# How far a machine's clock may be off, in milliseconds. The lease allows for this.
SKEW = 20 * clock.SECOND
# Possible failure records of an event whose function did not run: condition, count, error type.
NOT_RUN: list[tuple[str, int, str | None]] = [
    ("EventAgeExceeded", 0, None),
    ("RetriesExhausted", 1, "Runtime.ImportModuleError"),
    ("RetriesExhausted", 1, "Runtime.HandlerNotFound"),
    ("RetriesExhausted", 1, "Runtime.UserCodeSyntaxError"),
]
# Error types of an event whose function was killed.
KILLED = ["Sandbox.Timedout", "Runtime.ExitError", "Runtime.OutOfMemory"]
HOPS = 16  # hops after which Lambda may cut a chain of invocations


class SimulatedLambda:
    """The simulated world: its time, pending events, running invocations and figures."""

    def __init__(
        self, choose: Choose, *, worker_timeout: float = 60, faults: Set[Fault] = frozenset()
    ) -> None:
        self.choose = choose
        self.faults = faults
        self.storms = Storms(lambda: self.time, self.spend)
        self.time = 1_800_000_000_000
        self.is_harmless = False
        self.events: list[Event] = []
        self.stack: list[Invocation] = []
        self.claims: dict[str, Invocation] = {}  # invocations with a claim, by the claim's token
        self.figures: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()  # number of messages, by job
        self.on_write: Callable[[Invocation, Row], None] = lambda invocation, row: None
        self.on_send: Callable[[Invocation | None, Message], None] = lambda sender, message: None
        self.on_delivery: Callable[[Message], None] = lambda message: None
        self.on_landed: Callable[[str, Row], None] = lambda operation, call: None
        self.let_operators_act: Callable[[], None] = lambda: None
        # Deletes expired items, as DynamoDB does.
        self.expire_items: Callable[[], None] = lambda: None
        self.on_loss: Callable[[Message], None] = lambda message: None
        self.on_end: Callable[[Invocation], None] = lambda invocation: None
        self._deploys = Deploys(self.fault, self.pick, self.figures)
        self._classes = WorkerClasses(self.fault, self.pick, self.figures)
        self.queues = DeclaredQueues(lambda: self.time, self.pick)
        self.on_query: Callable[[Row], None] = lambda call: None
        # Called around each call to DynamoDB that AWS carries out. They may raise Killed.
        self.before_landing: Callable[[str, Row], None] = lambda operation, call: None
        self.after_landing: Callable[[str, Row], None] = lambda operation, call: None
        self.writes_landed = 0  # the number of writes that AWS has carried out
        # caches of pauses and limits, by machine
        self._caches: dict[object, tuple[pauses._Cache, limits._Cache, webhooks.Cache]] = {}
        self._has_batch_failures = False
        self._numbers = itertools.count()
        self._worker_timeout = worker_timeout

    # --- called by tests and histories ------------------------------------------------------------

    @contextmanager
    def running(self) -> Iterator["SimulatedLambda"]:
        """Use the world's time everywhere in this block.

        The alarm that interrupts a job is off. It counts real time, and could interrupt any of the
        workers that this process simulates.
        """
        with (
            patch.object(clock, "now", self.now),
            patch("time.sleep", self._sleep),
            patch.object(execution, "alarm", lambda _seconds: nullcontext()),
            self._classes.active(Fault.CLASSES in self.faults),
        ):
            yield self

    def now(self) -> int:
        """Return the time on the clock of the current invocation."""
        return self.time + (self.stack[-1].skew if self.stack else 0)

    def spend(self, seconds: float) -> None:
        """Let time pass in the current invocation, as if a job worked. The invocation may be killed
        when its time is over."""
        self.time += int(seconds * clock.SECOND)
        self.check_alive("working")

    def step(self) -> None:
        """Let one thing happen: an event arrives, the timer runs, operators act, or time passes."""
        if self.fault(Fault.STORM, "a storm", 12):
            self.figures["storms"] += 1
            self.storms.begin(self.pick)
        if not self.stack and self.fault(Fault.EXPIRY, "days go by", 40):
            self.let_days_pass()
        if self.figures["long gaps"]:  # otherwise nothing can have expired yet
            self.expire_items()
        ready = [event for event in self.events if event.at <= self.time]
        kind = self.pick("what happens", 5)
        if kind <= 1 and ready:
            event = ready[self.pick("which event", len(ready))]
            self.events.remove(event)
            self._deliver(event)
        elif kind == 2:
            self.time += (1, 20, 61, 130, 1000)[self.pick("time", 5)] * clock.SECOND
        elif kind == 3:
            self.let_operators_act()
            # An operator may have deployed. A frozen invocation continues with its own code.
            self._switch_to(self.stack[-1] if self.stack else None)
        elif self.fault(Fault.LEGACY, "the legacy worker polls", 3):
            self.figures["polls of the legacy worker"] += 1
            legacy_process.poll(self.run_function, self._worker_timeout)
        else:
            self.tick()

    def tick(self) -> None:
        """Run the timer."""
        self._invoke("timer", {"source": "aws.events"}, job_runners.handlers.timer.handler, 60)

    def run_without_faults(
        self,
        unfinished: Callable[[], list[int]],
        first: Callable[[], None] = lambda: None,
        each_round: Callable[[], None] = lambda: None,
    ) -> None:
        """Stop all faults, and deliver events and run the timer until every job is finished.

        It gives up after 400 rounds, because jobs that are unfinished then never end. `unfinished`
        returns the due times of unfinished rows. `first` runs after the faults have stopped, and
        `each_round` before each round.
        """
        minutes_without_worker = 40 * self.pick("no worker for", 8) // 7
        self.is_harmless = True
        self.storms.end_all()
        first()
        for _ in range(minutes_without_worker):  # so that a backlog builds up
            self.time += clock.MINUTE
            self._tick_if_due(unfinished())
        for _ in range(400):
            each_round()
            awaited = unfinished() + [event.at for event in self.events]
            if not awaited:
                return
            soonest = min(awaited)
            self.time = max(self.time + clock.SECOND, soonest)
            self._deliver_ready()
            self._tick_if_due(unfinished())

    def _tick_if_due(self, due: list[int]) -> None:
        # A timer run without due rows has no effect, but would take most of a history's real time.
        if due and min(due) <= self.time:
            self.tick()

    def invoke(self, name: str, call: Callable[[], object]) -> None:
        """Run our code, such as an API request, as a separate invocation."""

        def handler(_body: Any, _context: Any) -> None:
            call()

        self._invoke(name, None, handler, 30)

    def run_function(
        self, name: str, body: Any, handler: Callable[[Any, Any], Any], timeout: float
    ) -> None:
        """Run a handler as an invocation with this body. No failure record is created."""
        self._invoke(name, body, handler, timeout)

    # --- invocations ------------------------------------------------------------------------------

    def _deliver(self, event: Event) -> None:
        if event.function == "worker":
            self._deliver_to_worker(event)
        elif event.function == "delay queue":
            self._deliver_from_queue(event, job_runners.handlers.timer.handler)
        else:
            self._deliver_from_queue(event, job_runners.handlers.failures.handler)

    def _deliver_to_worker(self, event: Event) -> None:
        if self.fault(Fault.NOT_LOADED, "a worker is not loaded", 20):
            self._give_up(event, *NOT_RUN[self.pick("why", len(NOT_RUN))])
            return
        self.on_delivery(event.message)
        timeout = self._worker_timeout * TIMEOUTS.get(event.worker_class or "", 1)
        failure = self._invoke(
            "worker", event.body, job_runners.handlers.worker.handler, timeout, event
        )
        if failure is None:
            return
        if not self._last_invocation.is_reported:
            self._lose_record(event)
            return
        kind = failure.partition(":")[0]
        if failure == "killed" and Fault.NOT_LOADED in self.faults:
            kind = KILLED[self.pick("killed by", len(KILLED))]
        # `settle` knows that such a worker began nothing, so it doesn't admit waiting jobs.
        cause = None if kind == EntryNotLoaded.__name__ else self._last_invocation
        self._give_up(event, "RetriesExhausted", 1, kind, failure, cause)

    def _give_up(
        self,
        event: Event,
        condition: str,
        count: int,
        kind: str | None,
        text: str = "",
        cause: Invocation | None = None,
    ) -> None:
        """Create an event's failure record, which may get lost."""
        if self.pick("failure record", 6) == 5:
            self._lose_record(event)
            return
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

    def let_days_pass(self) -> None:
        """Let 8, 32 or 45 days pass, and drop pending events except for failure records.

        After 8 days, jobs may still wait. After 32 or 45, rows expire.
        """
        self.figures["long gaps"] += 1
        self.time += (32, 8, 45)[self.time // clock.SECOND % 3] * clock.DAY
        given_up = [event for event in self.events if event.function != "failures"]
        self.events = [event for event in self.events if event.function == "failures"]
        for event in given_up:
            if event.function == "worker":
                self._give_up(event, "EventAgeExceeded", 0, None)
            else:
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
        hops, message = (event.hops, event.message) if event else (0, {})
        invocation = Invocation(name, deadline, self._skew(), hops, message, self.time)
        invocation.cause = event.cause if event else None
        if Fault.MACHINES in self.faults:
            invocation.machine = (name, self.pick("which machine", 3))
        invocation.version = self._deploys.version()
        invocation.worker_class = event.worker_class if event else None
        invocation.classes = self._classes.view(invocation.worker_class)
        invocation.queues = self.queues.of_new_invocation()
        invocation.writes_before = self.writes_landed
        self.stack.append(invocation)
        self._switch_to(invocation)
        self._has_batch_failures = False
        try:
            answer = handler(
                body if isinstance(body, bytes) else json.loads(json.dumps(body)),
                Context(
                    function=worker_classes.arn(invocation.worker_class),
                    milliseconds_left=lambda: invocation.deadline - self.time,
                ),
            )
        except Killed:
            invocation.ended = "killed"
        except Exception as error:  # noqa: BLE001 - Lambda records any error
            self.figures["errors"] += 1
            invocation.ended = f"{type(error).__name__}: {error}"
        else:
            invocation.ended = WELL
            self._has_batch_failures = bool(answer and answer["batchItemFailures"])
        finally:
            self.stack.pop()
            self._switch_to(self.stack[-1] if self.stack else None)
        self._last_invocation = invocation
        self.on_end(invocation)
        return None if invocation.ended == WELL else invocation.ended

    @property
    def machine(self) -> object:
        """The machine of the current invocation."""
        return self.stack[-1].machine if self.stack else None

    def _switch_to(self, invocation: Invocation | None) -> None:
        """Use the caches of an invocation's machine, the code of its version, and its queues."""
        if Fault.MACHINES in self.faults:
            pauses._cache, limits._cache, webhooks._cache = self._caches.setdefault(
                self.machine, (pauses._Cache(), limits._Cache(), {})
            )
        if Fault.DEPLOYS in self.faults:
            self._deploys.use(invocation.version if invocation else Version.TODAY)
        if Fault.CLASSES in self.faults:
            self._classes.use(
                invocation.classes if invocation else TODAY,
                invocation.worker_class if invocation else None,
            )
        self.queues.use(invocation.queues if invocation else None)

    def _skew(self) -> int:
        return (0, -SKEW, SKEW // 2)[self.pick("skew", 3)]

    # --- called by the fault injector -------------------------------------------------------------

    def freeze(self) -> None:
        """Freeze the invocation while the world continues, perhaps until its lease has run out."""
        self.figures["freezes"] += 1
        invocation = self.stack[-1] if self.stack else None
        if self.pick("overtaken", 2) == 1:
            self._overtake()
        self._perhaps_fail_duplicate(invocation)
        for _ in range(1 + self.pick("how much happens", 6)):
            self.step()
        if invocation and self.time > invocation.deadline and self.pick("thaw", 4):
            invocation.zombie = True
            self.figures["zombies"] += 1
        self.check_alive("after a freeze")

    def _perhaps_fail_duplicate(self, invocation: Invocation | None) -> None:
        """Perhaps deliver a worker's event again, to a second worker that can't be loaded. Then
        deliver all ready events, such as the failure record of the second worker."""
        if invocation is None or invocation.name != "worker" or not invocation.message:
            return  # a polling process has no message, because it gets no events
        if self.fault(Fault.NOT_LOADED, "its duplicate is not loaded", 12):
            self.figures["duplicates"] += 1
            event = Event(self.time, next(self._numbers), "worker", invocation.message)
            self._give_up(event, *NOT_RUN[self.pick("why", len(NOT_RUN))])
            self._deliver_ready()

    def _overtake(self) -> None:
        """Let the lease run out, and let the timer notice. Then deliver the timer's message."""
        for minutes in (3, 25):
            self.time += minutes * clock.MINUTE
            self.tick()
            self._deliver_ready()

    def _deliver_ready(self) -> None:
        """Deliver all events that are due by now, in order, and due events that they cause."""
        until = self.time
        while ready := [event for event in self.events if event.at <= until]:
            self.events.remove(min(ready))
            self._deliver(min(ready))

    def check_alive(self, when: str) -> None:
        """Raise Killed if the current invocation is dead, or its time is up."""
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

    def take_invoke(self, message: Message, worker_class: str | None) -> None:
        """Accept an event for the worker of a class. It arrives once, twice or not at all."""
        self.sent[id_of(message)] += 1
        self._note_send(message)
        hops = (self.stack[-1].hops if self.stack else 0) + 1
        fate = self.pick("an event", 8)
        if fate == 5 or (hops > HOPS and self.pick("hops", 2)):
            self.figures["dropped"] += 1
            self.on_loss(message)
        else:
            self._add("worker", message, self._delay_of("an event"), hops, None, worker_class)
        if fate in (6, 7):
            self.figures["duplicates"] += 1
            delay = self._delay_of("its duplicate")
            self._add("worker", message, delay, hops, None, worker_class)

    def take_delayed(self, message: Message, delay: float) -> None:
        """Put a message into the delay queue, which delivers it a little late."""
        self._note_send(message)
        hops = (self.stack[-1].hops if self.stack else 0) + 1
        self._add("delay queue", message, delay + self._delay_of("a message"), hops)

    def _note_send(self, message: Message) -> None:
        sender = self.stack[-1] if self.stack else None
        self.on_send(sender, message)
        if sender is not None:
            sender.sent.add(id_of(message))

    def take_off_queue(self, receipt: str) -> None:
        """Delete a message from the worker's queue, which only a SimulatedQueue has."""

    def _delay_of(self, what: str) -> float:
        return (0, 0, 3, 90, 2000)[self.pick(f"delay of {what}", 5)]

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

    def fault(self, fault: Fault, what: str, n: int) -> bool:
        """Choose whether this fault happens here, with a chance of 1 in n. If the fault is off,
        return False without calling `choose`."""
        return fault in self.faults and self.pick(what, n) == n - 1

    def pick(self, what: str, n: int) -> int:
        """Return a number from 0 to n - 1, which `choose` selects.

        While the world is harmless, return 0, the harmless choice.
        """
        return 0 if self.is_harmless else self.choose(what, n)

    def _sleep(self, _seconds: float) -> None:
        # The real delay between botocore's retries is random, so it isn't used here.
        self.time += clock.SECOND
