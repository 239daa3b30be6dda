"""The boundary between code and AWS, where a hostile Lambda does most of its harm.

Before a call, the Lambda may kill the invocation, throttle the call, or freeze the invocation while
the world continues. A call has landed once AWS has carried it out. After that, the Lambda may kill
the invocation or lose the response.
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

from job_runners.aws import clients
from job_runners.fake_dynamodb import boundary
from job_runners.fake_dynamodb.behind_moto import database
from job_runners.fake_dynamodb.boundary import response
from job_runners.fake_dynamodb.checks import Call
from job_runners.testing import moto_direct
from job_runners.testing.moto_direct import Row, plain
from job_runners.testing.simulation import worker_classes
from job_runners.testing.simulation.faults import Fault
from job_runners.testing.simulation.invocation import Invocation
from job_runners.testing.simulation.read_view import ReadView
from job_runners.testing.simulation.simulated_lambda import SimulatedLambda
from job_runners.testing.simulation.torn_transactions import TornTransactions

_SERVICES = ("dynamodb", "lambda", "s3", "sqs")
_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>slow down</Message></Error>"
_WRITES = ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems")


Answer = tuple[int, Any]
"""The status and the body of a response."""
_Found = TypeVar("_Found")


class FaultInjector:
    """Intercepts every call to AWS in a world."""

    def __init__(self, world: SimulatedLambda, more_services: Sequence[str] = ()) -> None:
        self._world = world
        self._torn = TornTransactions(world)
        self._more_services = more_services  # further services that moto answers
        self._response_was_lost = False  # whether the response of the current call was lost once
        self._last_intercepted: Any = None  # the last request that was intercepted
        self._transactions: set[str] = set()  # request tokens of transactions that have landed
        # Depths (in the world's stack) of invocations whose current call never gets an answer.
        self._unanswered: set[int] = set()
        # By machine and quota: the retries that are left.
        self._quotas: dict[tuple[object, int], int] = {}

    @contextmanager
    def intercepting(self) -> Iterator[None]:
        """Intercept every call that is made in the block."""
        hooks = [
            (clients.client(service).meta.events, f"{event}.{service}", hook)
            for service in (*_SERVICES, *self._more_services)
            for event, hook in (
                ("before-send", self._before_send),
                ("before-call", self._note_call),
                ("needs-retry", self._after_response),
                ("choose-signer", _choose_signer),
            )
            if (service, event) != ("dynamodb", "before-send")
        ]
        for events, event, hook in hooks:
            events.register_first(event, hook)
        try:
            with (
                boundary.intercepted(self._before_dynamodb),
                patch.object(database(), "view", ReadView(self._world, self._torn).view),
                patch.object(BotocoreStubber, "__call__", self._answer_other_clients),
                patch.object(RetryQuota, "acquire", self._retries_of_machine(RetryQuota.acquire)),
                patch.object(RetryQuota, "release", self._retries_of_machine(RetryQuota.release)),
            ):
                yield
        finally:
            for events, event, hook in hooks:
                events.unregister(event, hook)

    def _answer_other_clients(self, event_name: str, request: Any, **_: Any) -> AWSResponse | None:
        """Let moto answer the calls of other clients, which this class doesn't intercept."""
        return None if request is self._last_intercepted else boundary.answered(event_name, request)

    def _retries_of_machine(self, call: Callable[[Any, int], Any]) -> Callable[[Any, int], Any]:
        """Wrap a method of botocore's retry quota, so that each machine has its own quota.

        botocore keeps a quota for each process. Each history starts with full quotas.
        """

        def of_machine(quota: Any, amount: int) -> Any:
            if Fault.RETRY_QUOTA not in self._world.faults:
                return True
            key = (self._world.machine, id(quota))
            quota._available_capacity = self._quotas.get(key, quota._max_capacity)
            done = call(quota, amount)
            self._quotas[key] = quota._available_capacity
            return done

        return of_machine

    def _note_call(self, **_: Any) -> None:
        """Note that the current invocation makes a call. botocore may send it several times."""
        self._unanswered.discard(len(self._world.stack))
        if self._world.stack:
            self._world.stack[-1].called_at = self._world.time

    def _before_dynamodb(self, operation: str, call: Call) -> Answer:
        return self._exchange("dynamodb", operation, call, lambda: self._answer(operation, call))

    def _before_send(self, request: Any, event_name: str, **_: Any) -> AWSResponse:
        service, operation = event_name.split(".")[1:]
        found = self._exchange(service, operation, {}, lambda: self._carry_out(request, event_name))
        # Set this last, because other requests were intercepted in between.
        self._last_intercepted = request
        return found if isinstance(found, AWSResponse) else response(*found)

    def _exchange(
        self, service: str, operation: str, call: Call, carry_out: Callable[[], _Found]
    ) -> _Found | Answer:
        """Carry out a call, unless a fault prevents that, and return its answer.

        `call` has the parameters of a request to DynamoDB. May raise botocore's errors.
        """
        self._world.check_alive("before a call")
        with self._recording_answer() as caller:
            refusal = self._refusal_before(service, operation, call)
            if refusal is not None:
                return refusal
            if service == "dynamodb":
                self._world.before_landing(operation, call)
            with self._torn.settling(operation, call):
                answer = carry_out()
            if service == "dynamodb":
                self._world.after_landing(operation, call)
            self._lose_connection(service)
            caller.is_answered = True
            return answer

    @contextmanager
    def _recording_answer(self) -> Iterator[Invocation]:
        """Record in the calling invocation whether its call was answered. If it wasn't, record the
        time."""
        caller = self._world.stack[-1] if self._world.stack else Invocation.none()
        caller.is_answered = False
        try:
            yield caller
        finally:
            if not caller.is_answered:
                caller.refused_at = self._world.time

    def _refusal_before(self, service: str, operation: str, call: Call) -> Answer | None:
        """Return an answer that refuses a call before it lands, or None.

        May raise a botocore error instead.
        """
        world = self._world
        if (refusal := self._refusal_by_fault(service, operation, call)) is not None:
            return refusal
        # Most choices are harmless, because otherwise no job would progress. Workers get most of
        # the faults, above all a worker that runs while another is frozen. The frozen one may then
        # find the row that its killed successor left.
        is_worker = bool(world.stack) and world.stack[-1].name == "worker"
        harmless = (7 if len(world.stack) == 1 else 3) if is_worker else 21
        match world.pick("before a call", harmless + 3) - harmless:
            case 0:
                world.kill("before a call")
            case 1 if len(world.stack) < 3:
                world.freeze()
            case 2:
                world.figures["throttled"] += 1
                return _refusal(service, 400)
        return None

    def _refusal_by_fault(self, service: str, operation: str, call: Call) -> Answer | None:
        """Return the answer with which one of the world's faults refuses a call, or None.

        May raise a botocore error instead.
        """
        world = self._world
        if len(world.stack) in self._unanswered:
            raise world.storms.network_error(service, "does not answer")
        if world.stack and world.fault(Fault.STORM, "a storm at a call", 60):
            world.figures["storms"] += 1
            world.storms.begin(world.pick, service)
        status = world.storms.refusal_status(service)
        if status is not None:
            world.figures["met a storm"] += 1
            return _refusal(service, status)
        if world.fault(Fault.NETWORK, "the network before", 60):
            raise world.storms.network_error(
                service,
                ("can't be reached", "does not answer")[world.pick("how the network fails", 2)],
            )
        if operation in _WRITES and self._torn.refuses(operation, call):
            return _conflict(operation, call)
        # Transactions are rarer than single writes, and conflict more easily.
        odds = 4 if operation == "TransactWriteItems" else 40
        if operation in _WRITES and world.fault(Fault.CONFLICT, "a conflict", odds):
            return _conflict(operation, call)
        return None

    def _lose_connection(self, service: str) -> None:
        """Perhaps lose the answer of a call that has landed, once or for each repetition."""
        world = self._world
        if world.fault(Fault.NO_ANSWER, "no answer", 80):
            self._unanswered.add(len(world.stack))
        elif not world.fault(Fault.NETWORK, "the network after", 60):
            return
        raise world.storms.network_error(service, "does not answer")

    def _carry_out(self, request: Any, event_name: str) -> AWSResponse:
        """Carry out a call that isn't for DynamoDB, and return its answer."""
        if "SendMessage" in str(request.headers.get("X-Amz-Target", "")):
            call = json.loads(request.body)
            self._world.take_delayed(json.loads(call["MessageBody"]), call["DelaySeconds"])
            return response(200, {"MessageId": "m"})
        if "DeleteMessage" in str(request.headers.get("X-Amz-Target", "")):
            self._world.take_off_queue(json.loads(request.body)["ReceiptHandle"])
            return response(200, {})
        if str(request.url).endswith("/invocations"):
            worker_class = worker_classes.class_of(str(request.url))
            if worker_class and self._world.fault(Fault.CLASSES, "a class is not there", 12):
                self._world.figures["missing classes"] += 1
                return response(404, {"__type": "ResourceNotFoundException", "message": "none"})
            self._world.take_invoke(json.loads(request.body), worker_class)
            return response(202, None)
        return boundary.answered(event_name, request)

    def _answer(self, operation: str, call: Call) -> Answer:
        """Carry out a call to DynamoDB, and return its answer."""
        status, body = boundary.answer_to(operation, call)
        if status == 200:
            self._note_answered(operation, call, body)
        return status, body

    def _note_answered(self, operation: str, call: dict[str, Any], body: dict[str, Any]) -> None:
        if operation == "Query":
            self._world.on_query(call)
        elif operation != "GetItem" and not self._note_repetition(call):
            self._note_landed(operation, call, body)

    def _note_repetition(self, call: dict[str, Any]) -> bool:
        """Note a transaction's token. Return whether the call repeats a transaction that has
        landed. Such a repetition changes nothing."""
        token = call.get("ClientRequestToken")
        has_landed = token in self._transactions
        if token is not None:
            self._transactions.add(token)
        return has_landed

    def _note_landed(self, operation: str, call: dict[str, Any], body: dict[str, Any]) -> None:
        self._world.writes_landed += 1
        self._world.on_landed(operation, call)
        if operation == "UpdateItem" and call["TableName"] == "jobs" and self._world.stack:
            self._note_write(self._world.stack[-1], plain(body["Attributes"]))
        if operation == "TransactWriteItems" and self._world.stack:
            for update in (each["Update"] for each in call["TransactItems"] if "Update" in each):
                # Skip other items, such as the slot that changes with the row.
                if update["TableName"] == "jobs":
                    row = moto_direct.row("jobs", update["Key"])
                    self._note_write(self._world.stack[-1], row)

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
                return 0  # botocore repeats the call at once
        self._response_was_lost = False
        return None

    def _note_write(self, invocation: Invocation, row: Row) -> None:
        claimed = row["status"] == "running"  # otherwise the write held the job
        if invocation.name == "worker" and invocation.claim is None and claimed:
            invocation.claim = row.get("claim_token")
            self._world.claims[row["claim_token"]] = invocation
        self._world.on_write(invocation, row)


def _choose_signer(event_name: str, **_: Any) -> Any:
    """Sign only calls to S3, because only moto's S3 reads signatures. Signing every call would use
    a tenth of the total time."""
    return None if ".s3." in event_name else UNSIGNED


def _refusal(service: str, status: int) -> Answer:
    if service == "s3":
        return 503, _SLOW_DOWN
    kind = "ThrottlingException" if status == 400 else "InternalServerError"
    return status, {"__type": kind, "message": "not now"}


def _conflict(operation: str, call: Call) -> Answer:
    """Return the refusal of a write that conflicts with a transaction on the same item."""
    if operation != "TransactWriteItems":
        return 400, {"__type": "TransactionConflictException", "message": "conflict"}
    others = len(call["TransactItems"]) - 1
    conflict = {"Code": "TransactionConflict", "Message": "conflict"}
    reasons = [{"Code": "None"}] * others + [conflict]
    return 400, {
        "__type": "TransactionCanceledException",
        "Message": f"Transaction canceled: {[each['Code'] for each in reasons]}",
        "CancellationReasons": reasons,
    }
