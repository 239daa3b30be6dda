"""Watch every message about a task and every run of a task, and report violations."""

from collections import Counter
from collections.abc import Callable, Mapping

from histories.hostile_lambda import HostileLambda
from histories.invocation import Invocation
from job_runners.testing.simulation.invocation import Message


class TaskChecker:
    """The messages, runs and end of each task. A task has no row: it exists only as messages."""

    def __init__(
        self, world: HostileLambda, max_attempts: Mapping[str, int], report: Callable[[str], None]
    ) -> None:
        self._max_attempts = max_attempts  # by name
        self._report = report
        self.accepted: set[str] = set()  # tasks that the API has sent
        self.dropped: set[str] = set()  # tasks that lost an event or a failure record
        self.done: Counter[str] = Counter()
        # By task: the failures that were logged. The log is the only trace of them.
        self.failed: Counter[str] = Counter()
        self._not_run: set[str] = set()  # tasks that Lambda gave up on before they ran
        self._delivered: Counter[str] = Counter()
        self._ran: Counter[str] = Counter()
        world.on_send = self.saw_send
        world.on_delivery = self.saw_delivery
        world.on_loss = self.saw_loss

    @property
    def lost(self) -> set[str]:
        """Accepted tasks that have no end, although none of their messages was dropped."""
        return self.accepted - self.dropped - self.done.keys() - self.failed.keys()

    # --- reported by the world --------------------------------------------------------------------

    def saw_send(self, sender: Invocation | None, message: Message) -> None:
        """Check a message that was sent. Only a task with a retry policy may be sent again after it
        ran."""
        if message["kind"] != "task":
            return
        if sender is not None and sender.message == message:
            self._saw_forward(sender, message)
        elif sender is not None and sender.name == "api":
            self.accepted.add(message["id"])
        elif sender is not None and sender.name == "failures" and sender.cause is None:
            # A task that Lambda gave up on before it ran may be sent again.
            self._not_run.add(message["id"])
        elif self._max_attempts[message["name"]] == 1 and message["id"] not in self._not_run:
            self._report(f"task {message['id']}, without retries, was sent again")
        self._check_attempt(message)

    def _saw_forward(self, sender: Invocation, message: Message) -> None:
        """Check a message that was passed on as it came: by the timer from the delay queue, or by
        the default worker to a class. What a worker passes on it must not run."""
        if sender.name != "worker":
            return
        if sender.worker_class is not None:
            self._report(f"task {message['id']} was forwarded by the class {sender.worker_class}")
        if not sender.has_forwarded:  # botocore may repeat its call
            self._delivered[message["id"]] -= 1
        sender.has_forwarded = True

    def saw_delivery(self, message: Message) -> None:
        """Note that a worker is invoked with a message."""
        if message["kind"] == "task":
            self._check_attempt(message)
            self._delivered[message["id"]] += 1

    def saw_loss(self, message: Message) -> None:
        """Note that a message, or the record of its failure, is permanently lost."""
        if message["kind"] == "task":
            self.dropped.add(message["id"])

    # --- reported by the task itself, and by the log ----------------------------------------------

    def ran(self, task_id: str) -> None:
        """Note that the function of a task was called."""
        self._ran[task_id] += 1
        if self._ran[task_id] > self._delivered[task_id]:
            self._report(f"task {task_id} ran more often than it was delivered")

    def check_ended(self) -> None:
        """Check at the end that every task has ended."""
        for task_id in self.lost:
            self._report(f"task {task_id} was accepted and never ended: lost")

    def _check_attempt(self, message: Message) -> None:
        most = self._max_attempts[message["name"]]
        if message["attempt"] > most:
            self._report(f"task {message['id']} is in attempt {message['attempt']} of {most}")
