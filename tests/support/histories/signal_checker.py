"""Check the promises of waits: each invocation of a job gets the signal that was accepted."""

import json
from collections.abc import Callable, Iterator

import moto_items
from histories.hostile_lambda import HostileLambda
from job_runners.engine.control import signaling
from job_runners.engine.errors import AlreadyAnswered, LinkOver, SignalConflict, SignalTooLate
from job_runners.engine.wire.sending import Send
from job_runners.store.job_request import JobRequest
from job_runners.testing import moto_direct
from job_runners.work.running_job import RunningJob

_Key = tuple[str, str]  # the work_id of a job, and the name of a signal or a wait


class SignalChecker:
    """The signals that the API has accepted in a history, and the answers that jobs have got."""

    def __init__(self, world: HostileLambda, report: Callable[[str], None]) -> None:
        self._world = world
        self._report = report
        self._accepted: dict[_Key, int] = {}  # the values that were answered with 200
        self._sent: dict[_Key, set[int]] = {}  # all values, answered or not
        self._answers: dict[_Key, object] = {}  # by wait
        self._tokens: dict[_Key, str] = {}  # of the links with which signals are sent

    def linked(self, job: RunningJob, name: str, url: str) -> None:
        """Note a link that a job got. Check that each invocation gets the same one."""
        token = url.rpartition("/")[2]
        if self._tokens.setdefault((job._row.work_id, name), token) != token:
            self._report(f"job {job.id} got two links for signal {name}")

    def send(self, row: JobRequest, name: str, value: int, send: Send) -> None:
        """Send a signal to a job, through its link if it has one. Note it if the API accepts it."""
        key = (row.work_id, name)
        self._sent.setdefault(key, set()).add(value)
        try:
            if token := self._tokens.get(key):
                signaling.answer(signaling.find_link(token), value, send)
                current = row  # a link is only for the work that got it
                self._world.figures["answers through links"] += 1
            else:
                current = signaling.signal(row, name, value, send)
        except (SignalConflict, SignalTooLate, AlreadyAnswered, LinkOver):
            if self._accepted.get(key) == value:
                self._report(f"signal {key} of {value} was accepted before, and is refused now")
            raise
        key = (current.work_id, name)  # the job may have got another payload in the meantime
        self._sent.setdefault(key, set()).add(value)
        if self._accepted.setdefault(key, value) != value:
            self._report(f"signal {key} was accepted with two values")
        self._world.figures["signals accepted"] += 1

    def awaited(self) -> Iterator[tuple[str, str]]:
        """Yield the id of each job that waits for a signal, with each name that it waits for."""
        for row in moto_direct.rows("jobs"):
            if row["status"] == "waiting" and str(row.get("held_by")).startswith("signal#"):
                for name in json.loads(row["current_wait"])["names"]:
                    yield row["id"], name

    def note_landed(self, operation: str) -> None:
        """Check, after a transaction, that no job waits for a signal that has come."""
        if operation != "TransactWriteItems":
            return
        for job_id, name in self.awaited():
            row = moto_items.row("jobs", {"id": {"S": job_id}})
            restarts = row.get("restarts")
            pk = f"signal#{row['created_key']}" + (f"/{restarts}" if restarts else "")
            if moto_items.stored("coordination", {"pk": {"S": pk}, "sk": {"S": name}}):
                self._report(f"job {job_id} waits for signal {name}, which has come")

    def got(self, job: RunningJob, name: str, wait: str, answer: object) -> None:
        """Check the answer of a wait (None for a timeout): each invocation gets it."""
        work_id = job._row.work_id
        if self._answers.setdefault((work_id, wait), answer) != answer:
            self._report(f"wait {wait} of job {job.id} was answered twice: {answer}")
        self._world.figures["waits timed out" if answer is None else "waits signaled"] += 1
        value = answer
        if isinstance(answer, tuple):
            name, value = answer
        elif answer is None and wait.endswith("any"):
            return  # the signals may come later
        if value is not None and value not in self._sent.get((work_id, name), set()):
            self._report(f"job {job.id} got {answer}, which was not sent")
        if self._accepted.get((work_id, name), value) != value:
            self._report(f"job {job.id} got {answer}, and another value was accepted")
