"""Inject faults into calls to AWS.

Before a call, the invocation may be killed, the call may be throttled, or the invocation may freeze
while the world continues. (The world is the simulated Lambda, with its own time and events.) After
AWS has carried out the call, the invocation may be killed, or the response may be lost.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest.mock import patch

from botocore import UNSIGNED
from botocore.awsrequest import AWSResponse
from botocore.retries.quota import RetryQuota
from moto.core.botocore_stubber import BotocoreStubber

from job_runners import clock
from job_runners.aws import clients
from job_runners.fake_dynamodb import boundary
from job_runners.fake_dynamodb.behind_moto import database
from job_runners.fake_dynamodb.boundary import response
from job_runners.fake_dynamodb.checks import Call
from job_runners.fake_dynamodb.database import Consistency
from job_runners.fake_dynamodb.stale import RecentWrites
from job_runners.fake_dynamodb.tables import Overlay, Table
from job_runners.testing.simulation.simulated_lambda import SimulatedLambda

SERVICES = ("dynamodb", "lambda", "s3", "sqs")  # that Job Runners uses
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>slow down</Message></Error>"

Answer = tuple[int, Any]
"""The status and the body of a response."""
Result = TypeVar("Result")


class FaultInjector:
    """Intercepts every call to AWS in a world. The histories' injector is a subclass."""

    def __init__(self, world: SimulatedLambda, more_services: Sequence[str] = ()) -> None:
        self._world = world
        self._more_services = more_services
        self._response_was_lost = False  # that of the current call; its retry's isn't lost again
        self._last_intercepted: Any = None  # the last intercepted request

    @contextmanager
    def intercepting(self) -> Iterator[None]:
        """Intercept every call that is made in the block."""
        self._recent = RecentWrites(  # which an eventually consistent read may miss
            database(), max_writes=12, max_age=2 * clock.MINUTE, now=lambda: self._world.time
        )
        hooks = []
        for service in (*SERVICES, *self._more_services):
            events = clients.client(service).meta.events
            hooks += [
                (events, f"before-call.{service}", self._note_call),
                (events, f"needs-retry.{service}", self._after_response),
                (events, f"choose-signer.{service}", _choose_signer),
            ]
            if service != "dynamodb":  # boundary.intercepted does this for DynamoDB
                hooks.append((events, f"before-send.{service}", self._before_send))
        for events, event, hook in hooks:
            events.register_first(event, hook)
        try:
            with (
                boundary.intercepted(self._before_dynamodb),
                patch.object(database(), "view", self._view),
                patch.object(BotocoreStubber, "__call__", self._answer_other_clients),
                patch.object(RetryQuota, "acquire", self._wrap_retry_quota(RetryQuota.acquire)),
                patch.object(RetryQuota, "release", self._wrap_retry_quota(RetryQuota.release)),
            ):
                yield
        finally:
            for events, event, hook in hooks:
                events.unregister(event, hook)

    def _view(self, table: Table, consistency: Consistency) -> Overlay:
        """Return older versions of items, for a read that misses recent writes."""
        if consistency is Consistency.CONSISTENT or not self._world.pick("a stale read", 2):
            return {}
        return self._recent.overlay(table)

    def _wrap_retry_quota(self, _call: Callable[[Any, int], Any]) -> Callable[[Any, int], Any]:
        """Replace a method of botocore's retry quota by one that never refuses a retry."""
        return lambda _quota, _amount: True

    def _note_call(self, **_: Any) -> None:
        """Do nothing. A subclass notes the call here, which botocore may send several times."""

    def _answer_other_clients(self, event_name: str, request: Any, **_: Any) -> AWSResponse | None:
        """Let moto answer calls that weren't intercepted, such as those of a test's own clients."""
        return None if request is self._last_intercepted else boundary.answered(event_name, request)

    def _before_dynamodb(self, operation: str, call: Call) -> Answer:
        return self._exchange("dynamodb", operation, call, lambda: self._answer(operation, call))

    def _before_send(self, request: Any, event_name: str, **_: Any) -> AWSResponse:
        service, operation = event_name.split(".")[1:]
        answer = self._exchange(
            service, operation, {}, lambda: self._carry_out(request, event_name)
        )
        # Set this last, because `_exchange` may have intercepted other invocations' requests.
        self._last_intercepted = request
        return answer if isinstance(answer, AWSResponse) else response(*answer)

    def _exchange(
        self, service: str, operation: str, call: Call, carry_out: Callable[[], Result]
    ) -> Result | Answer:
        """Carry out a call, unless a fault prevents it, and return the answer.

        `call` has the parameters of a request to DynamoDB. May raise botocore's errors.
        """
        self._world.check_alive("before a call")
        refusal = self._refusal_before(service, operation, call)
        return carry_out() if refusal is None else refusal

    def _refusal_before(self, service: str, _operation: str, _call: Call) -> Answer | None:
        """Return an answer that refuses the call, or None to carry it out."""
        world = self._world
        # Most choices are harmless, or no job would make progress. Workers get most faults,
        # especially one that runs while another is frozen: if it is killed, the frozen worker
        # continues, and finds the row that it left behind.
        harmless_count = 21
        if world.stack and world.stack[-1].name == "worker":
            harmless_count = 7 if len(world.stack) == 1 else 3
        match world.pick("before a call", harmless_count + 3) - harmless_count:
            case 0:
                world.kill("before a call")
            case 1 if len(world.stack) < 3:
                world.freeze()
            case 2:
                world.figures["throttled"] += 1
                return refusal_of(service, 400)
        return None

    def _carry_out(self, request: Any, event_name: str) -> AWSResponse:
        """Carry out a call to a service other than DynamoDB, and return the answer."""
        if "SendMessage" in str(request.headers.get("X-Amz-Target", "")):
            call = json.loads(request.body)
            self._world.take_delayed(json.loads(call["MessageBody"]), call["DelaySeconds"])
            return response(200, {"MessageId": "m"})
        if str(request.url).endswith("/invocations"):
            self._world.take_invoke(json.loads(request.body))
            return response(202, None)
        return boundary.answered(event_name, request)

    def _answer(self, operation: str, call: Call) -> Answer:
        """Carry out a call to DynamoDB, and return the answer."""
        return boundary.answer_to(operation, call)

    def _after_response(self, response: Any, **_: Any) -> int | None:
        world = self._world
        if response is None or response[0].status_code >= 300:
            self._response_was_lost = False
            return None
        match world.pick("after a call", 24):
            case 22:
                world.kill("after a call")
            case 23 if not self._response_was_lost:
                world.figures["responses lost"] += 1
                self._response_was_lost = True
                return 0  # seconds until botocore repeats the call
        self._response_was_lost = False
        return None


def _choose_signer(event_name: str, **_: Any) -> Any:
    """Sign only calls to S3, because moto ignores other signatures.

    Signing every call would take a tenth of the total time.
    """
    return None if ".s3." in event_name else UNSIGNED


def refusal_of(service: str, status: int) -> Answer:
    """Return the answer with which a service refuses a call."""
    if service == "s3":
        return 503, _SLOW_DOWN
    kind = "ThrottlingException" if status == 400 else "InternalServerError"
    return status, {"__type": kind, "message": "not now"}
