"""The simulated Lambda of histories, in which everything goes wrong that can go wrong on AWS.

In addition to what `SimulatedLambda` does, it delivers events late and out of order, and loses
failure records. The clocks of invocations differ. `faults` can be switched on.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from typing import Any

from histories import legacy_process, worker_classes
from histories.declared_queues import DeclaredQueues
from histories.deploys import Deploys, Version
from histories.faults import Fault
from histories.invocation import Invocation, id_of
from histories.storms import Storms
from histories.worker_classes import TIMEOUTS, TODAY, WorkerClasses
from job_runners import clock
from job_runners.store import limits, pauses, webhooks
from job_runners.testing.lambda_context import Context
from job_runners.testing.moto_direct import Row
from job_runners.testing.simulation.invocation import Event, Message
from job_runners.testing.simulation.simulated_lambda import Choose, SimulatedLambda

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


class HostileLambda(SimulatedLambda):
    """The simulated world of a history."""

    stack: list[Invocation]

    def __init__(
        self, choose: Choose, *, worker_timeout: float = 60, faults: Set[Fault] = frozenset()
    ) -> None:
        super().__init__(choose, worker_timeout=worker_timeout)
        self.faults = faults
        self.storms = Storms(lambda: self.time, self.spend)
        self.claims: dict[str, Invocation] = {}  # invocations with a claim, by the claim's token
        self.sent: Counter[str] = Counter()  # number of messages, by job
        self.on_write: Callable[[Invocation, Row], None] = lambda invocation, row: None
        self.on_send: Callable[[Invocation | None, Message], None] = lambda sender, message: None
        self.on_landed: Callable[[str, Row], None] = lambda operation, call: None
        self.let_operators_act: Callable[[], None] = lambda: None
        # Deletes expired items, as DynamoDB does.
        self.expire_items: Callable[[], None] = lambda: None
        self._deploys = Deploys(self.fault, self.pick, self.figures)
        self._classes = WorkerClasses(self.fault, self.pick, self.figures)
        self.queues = DeclaredQueues(lambda: self.time, self.pick)
        self.on_query: Callable[[Row], None] = lambda call: None
        # Called around each call to DynamoDB that AWS carries out. They may raise Killed.
        self.before_landing: Callable[[str, Row], None] = lambda operation, call: None
        self.after_landing: Callable[[str, Row], None] = lambda operation, call: None
        self.writes_landed = 0  # the number of writes that AWS has carried out
        # caches of pauses and limits, by machine
        self._caches: dict[object, tuple[pauses._Cache, limits._Cache, dict[str, Any]]] = {}

    @contextmanager
    def running(self) -> Iterator["HostileLambda"]:
        """Use the world's time everywhere in this block, and its worker classes."""
        with super().running(), self._classes.active(Fault.CLASSES in self.faults):
            yield self

    def now(self) -> int:
        """Return the time on the clock of the current invocation."""
        return self.time + (self.stack[-1].skew if self.stack else 0)

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

    def stop_faults(
        self,
        unfinished: Callable[[], list[int]],
        first: Callable[[], None] = lambda: None,
        each_round: Callable[[], None] = lambda: None,
    ) -> None:
        """Stop all faults, and deliver events and run the timer until every job is finished.

        `first` runs after the faults have stopped. The others are those of `run_without_faults`.
        """
        minutes_without_worker = 40 * self.pick("no worker for", 8) // 7
        self.is_harmless = True
        self.storms.end_all()
        first()
        for _ in range(minutes_without_worker):  # so that a backlog builds up
            self.time += clock.MINUTE
            self._tick_if_due(unfinished())
        self.run_without_faults(unfinished, each_round)

    def run_function(
        self, name: str, body: Any, handler: Callable[[Any, Any], Any], timeout: float
    ) -> None:
        """Run a handler as an invocation with this body. No failure record is created."""
        self._invoke(name, body, handler, timeout)

    # --- invocations ------------------------------------------------------------------------------

    def _deliver_to_worker(self, event: Event) -> None:
        if self.fault(Fault.NOT_LOADED, "a worker is not loaded", 20):
            self._give_up(event, *NOT_RUN[self.pick("why", len(NOT_RUN))])
            return
        super()._deliver_to_worker(event)

    def _timeout_of(self, event: Event) -> float:
        return super()._timeout_of(event) * TIMEOUTS.get(event.worker_class or "", 1)

    def _kind_of(self, failure: str) -> str:
        if failure == "killed" and Fault.NOT_LOADED in self.faults:
            return KILLED[self.pick("killed by", len(KILLED))]
        return super()._kind_of(failure)

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
        super()._give_up(event, condition, count, kind, text, cause)

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

    def _new_invocation(self, name: str, deadline: int, event: Event | None) -> Invocation:
        hops, message = (event.hops, event.message) if event else (0, {})
        invocation = Invocation(name, deadline, message, started=self.time, hops=hops)
        invocation.cause = event.cause if event else None
        invocation.skew = (0, -SKEW, SKEW // 2)[self.pick("skew", 3)]
        if Fault.MACHINES in self.faults:
            invocation.machine = (invocation.name, self.pick("which machine", 3))
        invocation.version = self._deploys.version()
        invocation.worker_class = event.worker_class if event else None
        invocation.classes = self._classes.view(invocation.worker_class)
        invocation.queues = self.queues.of_new_invocation()
        invocation.writes_before = self.writes_landed
        return invocation

    def _context(self, invocation: Invocation) -> Context:
        return Context(
            function=worker_classes.arn(invocation.worker_class),
            milliseconds_left=lambda: invocation.deadline - self.time,
        )

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

    # --- called by the fault injector -------------------------------------------------------------

    def _happen_while_frozen(self, invocation: Invocation | None) -> None:
        """Perhaps deliver a worker's event again, to a second worker that can't be loaded. Then
        deliver all ready events, such as the failure record of the second worker."""
        if invocation is None or invocation.name != "worker" or not invocation.message:
            return  # a polling process has no message, because it gets no events
        if self.fault(Fault.NOT_LOADED, "its duplicate is not loaded", 12):
            self.figures["duplicates"] += 1
            event = Event(self.time, next(self._numbers), "worker", invocation.message)
            self._give_up(event, *NOT_RUN[self.pick("why", len(NOT_RUN))])
            self._deliver_ready()

    def take_invoke(self, message: Message, worker_class: str | None = None) -> None:
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

    def fault(self, fault: Fault, what: str, n: int) -> bool:
        """Choose whether this fault happens here, with a chance of 1 in n. If the fault is off,
        return False without calling `choose`."""
        return fault in self.faults and self.pick(what, n) == n - 1
