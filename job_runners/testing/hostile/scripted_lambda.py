"""A simulated Lambda for one play: causes the play's mishap, and records the job's moments."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError

from job_runners import clock
from job_runners.fake_dynamodb import boundary
from job_runners.fake_dynamodb.checks import Call
from job_runners.testing.hostile.effects import Effects
from job_runners.testing.hostile.mishaps import (
    IN_ONE_GO,
    NONE,
    WAITED,
    Mishap,
    Moment,
    Question,
)
from job_runners.testing.simulation.fault_injector import FaultInjector
from job_runners.testing.simulation.playing import DELAY_QUEUE
from job_runners.testing.simulation.simulated_lambda import SimulatedLambda
from job_runners.work import waiting
from job_runners.work.running_job import RunningJob

_INVOCATION_SECONDS = 900
_LAST_SECONDS = 20  # with so little time left, an invocation ends at its next checkpoint
# These questions are moments only if the job's worker is running, and not, say, the API.
_WORKER_QUESTIONS = {
    Question.BEFORE_CALL,
    Question.AFTER_CALL,
    Question.CHECKPOINT,
    Question.AFTER_CHECKPOINT,
    Question.AFTER_EFFECT,
}


class ScriptedLambda(SimulatedLambda):
    """The simulated Lambda of one play.

    `moments` has the moments that the job has reached. `pace` is the time between two checkpoints,
    in seconds. If it is more than 5, each checkpoint is written.
    """

    def __init__(self, mishap: Mishap, pace: float) -> None:
        super().__init__(self._answer, worker_timeout=_INVOCATION_SECONDS)
        self.moments: list[Moment] = []
        self.about = ""  # the call or effect that the next question is about
        self.has_waited = False  # whether the job's function has waited
        self._mishap = mishap
        self._pace = pace
        self._counts: Counter[str] = Counter()  # of moments, by question
        self._mishap_ends_at: int | None = None  # for a mishap that lasts some time
        # The steps that are running now, each with the depth of its invocation in the stack.
        self._steps: list[tuple[int, str]] = []

    def pick(self, what: str, n: int) -> int:
        """Answer from the script, even while the world is harmless."""
        return self.choose(what, n)

    @contextmanager
    def playing(self, effects: Effects) -> Iterator[None]:
        """Make moments of the job's checkpoints and effects."""
        original_checkpoint = RunningJob.checkpoint
        original_step = RunningJob.step

        def checkpoint(job: RunningJob, *args: Any, **kwargs: Any) -> None:
            self._before_checkpoint()
            original_checkpoint(job, *args, **kwargs)
            self.about = ""
            self._ask_whether_to_kill(Question.AFTER_CHECKPOINT)

        def on_recorded() -> None:
            self.about = repr(effects.seen[-1]) if effects.seen else ""
            self._ask_whether_to_kill(Question.AFTER_EFFECT)

        def step(job: RunningJob, name: str, function: Callable[[], Any]) -> Any:
            return original_step(job, name, lambda: self._in_step(f"{job.id} {name}", function))

        with ExitStack() as stack:
            for target, name, replacement in (
                (RunningJob, "step", step),
                (RunningJob, "checkpoint", checkpoint),
                (effects, "current_step", self._current_step),
                (effects, "before_recording", lambda: self.check_alive("at an effect")),
                (effects, "on_recorded", on_recorded),
            ):
                stack.enter_context(patch.object(target, name, replacement))
            if self._mishap is IN_ONE_GO:  # let waits return at once
                for name in ("_sleep", "_raise_signal_wait"):
                    stack.enter_context(patch.object(waiting, name, lambda *_: None))
            yield

    def _in_step(self, step: str, function: Callable[[], Any]) -> Any:
        self._steps.append((len(self.stack), step))
        try:
            return function()
        finally:
            self._steps.pop()

    def _current_step(self) -> str | None:
        """Return the step or task that runs in the current invocation, if any."""
        message = self.stack[-1].message if self.stack else {}
        if message.get("kind") == "task":
            return f"task {message['id']}"
        depth, step = self._steps[-1] if self._steps else (0, "")
        return step if depth == len(self.stack) else None

    def _before_checkpoint(self) -> None:
        self.spend(self._pace)
        self.about = ""
        match self.pick(Question.CHECKPOINT, 3):
            case 1:  # run out of time
                time_left = self.stack[-1].deadline - self.time
                self.time += max(0, time_left - _LAST_SECONDS * clock.SECOND)
            case 2:
                self.kill("at a checkpoint")

    def _ask_whether_to_kill(self, question: Question) -> None:
        if self.pick(question, 2) == 1:
            self.kill(question)

    def _answer(self, question: str, n: int) -> int:
        """Return a number from 0 to n - 1. Only the mishap's answers are harmful."""
        if question == Question.STALE_READ:
            # In a play without faults, reads miss no writes.
            return int(self._mishap not in (NONE, IN_ONE_GO, WAITED))
        default = self._mishap.throughout.get(question, 0) % n
        if not self._is_moment(question):
            return default
        if self._mishap_ends_at is not None and question == Question.BEFORE_CALL:
            return self._mishap.answer % n if self.time < self._mishap_ends_at else 0
        self._counts[question] += 1
        about = "" if question == Question.EVENT_SENT else self.about
        moment = Moment(question, self._counts[question], about)
        self.moments.append(moment)
        if moment != self._mishap.moment:
            return default
        if self._mishap.seconds:
            self._mishap_ends_at = self.time + self._mishap.seconds * clock.SECOND
        return self._mishap.answer % n

    def _is_moment(self, question: str) -> bool:
        if len(self.stack) != 1:
            return False
        is_in_worker = self.stack[0].name == "worker"
        return question == Question.EVENT_SENT or (is_in_worker and question in _WORKER_QUESTIONS)

    def _sleep(self, seconds: float) -> None:
        self.time += int(seconds * clock.SECOND)


class ScriptedInjector(FaultInjector):
    """Intercepts every call to AWS, and names it in the moment's description."""

    def __init__(self, world: ScriptedLambda, more_services: list[str]) -> None:
        super().__init__(world, more_services)
        self._scripted = world

    def _exchange(
        self, service: str, operation: str, call: Call, carry_out: Callable[[], Any]
    ) -> Any:
        name = _call_name(service, operation, call)

        def carry_out_and_restore_name() -> Any:
            answer = carry_out()
            self._scripted.about = name  # another invocation's call may have changed it
            return answer

        self._scripted.about = name
        return super()._exchange(service, operation, call, carry_out_and_restore_name)

    def _answer_other_clients(self, event_name: str, request: Any, **_: Any) -> AWSResponse | None:
        """Intercept the calls of clients that the job's own code created, such as boto3's."""
        if request is self._last_intercepted:
            return None
        service, operation = event_name.split(".")[1:]
        call = boundary.call_of(request.body) if service == "dynamodb" else {}
        answer = self._exchange(
            service, operation, call, lambda: boundary.answered(event_name, request)
        )
        response = answer if isinstance(answer, AWSResponse) else boundary.response(*answer)
        if response.status_code < 300:
            match self._scripted.pick(Question.AFTER_CALL, 24):
                case 22:
                    self._scripted.kill(Question.AFTER_CALL)
                case 23:
                    raise ReadTimeoutError(endpoint_url=request.url)
        return response

    def _carry_out(self, request: Any, event_name: str) -> AWSResponse:
        if _is_for_app_queue(request, event_name):
            return boundary.answered(event_name, request)
        return super()._carry_out(request, event_name)


def _is_for_app_queue(request: Any, event_name: str) -> bool:
    """Return whether the job's own code uses an SQS queue other than Job Runners' delay queue."""
    return ".sqs." in event_name and json.loads(request.body).get("QueueUrl") != DELAY_QUEUE


def _call_name(service: str, operation: str, call: Call) -> str:
    if service != "dynamodb":
        return f"{service} {operation}"
    table = call.get("TableName")
    return f"{operation} {table}" if table else operation
