"""Watches every message about a task, and every run of one, and says what must not be."""

from collections import Counter
from collections.abc import Callable, Mapping

from testing.simulation.invocation import Invocation, Message
from testing.simulation.simulated_lambda import SimulatedLambda


class TaskChecker:
    """What is known of every task, from outside. It has no row: its messages are all there is."""

    def __init__(
        self, world: SimulatedLambda, max_attempts: Mapping[str, int], broken: Callable[[str], None]
    ) -> None:
        self._max_attempts = max_attempts  # by name
        self._broken = broken
        self.accepted: set[str] = set()  # tasks whose send left the API
        self.dropped: set[str] = set()  # of which the adversary has lost an event or a record
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()  # in the log, which is all that remains of it
        self._not_run: set[str] = set()
        self._delivered: Counter[str] = Counter()
        self._ran: Counter[str] = Counter()
        world.on_send = self.saw_send
        world.on_delivery = self.saw_delivery
        world.on_loss = self.saw_loss

    @property
    def lost(self) -> set[str]:
        """Tasks that were accepted, of which nothing was dropped, and that have come to no end."""
        return self.accepted - self.dropped - self.done.keys() - self.failed.keys()

    # --- told by the world ------------------------------------------------------------------------

    def saw_send(self, sender: Invocation | None, message: Message) -> None:
        """Check a message that has left: the first, or one that only a task tagged for retry
        has."""
        if message["kind"] != "task":
            return
        if sender is not None and sender.name == "api":
            self.accepted.add(message["id"])
        elif sender is not None and sender.name == "failures" and sender.cause is None:
            self._not_run.add(message["id"])  # what Lambda gave up on before it ran may be sent
        elif self._max_attempts[message["name"]] == 1 and message["id"] not in self._not_run:
            self._broken(f"untagged task {message['id']} was sent again")
        self._check_attempt(message)

    def saw_delivery(self, message: Message) -> None:
        """Note that a worker is invoked with a message."""
        if message["kind"] == "task":
            self._check_attempt(message)
            self._delivered[message["id"]] += 1

    def saw_loss(self, message: Message) -> None:
        """Note that a message, or the record of its failure, is gone for good."""
        if message["kind"] == "task":
            self.dropped.add(message["id"])

    # --- told by the task itself, and by the log --------------------------------------------------

    def ran(self, task_id: str) -> None:
        """Its function was called."""
        self._ran[task_id] += 1
        if self._ran[task_id] > self._delivered[task_id]:
            self._broken(f"task {task_id} ran more often than it was delivered")

    def check_ended(self) -> None:
        """Once all is quiet: every task has come to its end."""
        for task_id in self.lost:
            self._broken(f"task {task_id} was accepted and never ended: lost")

    def _check_attempt(self, message: Message) -> None:
        most = self._max_attempts[message["name"]]
        if message["attempt"] > most:
            self._broken(f"task {message['id']} is in attempt {message['attempt']} of {most}")
