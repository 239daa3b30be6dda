"""The boundary between code and AWS in a history. It adds the faults that can be switched on, and
notes which writes have landed."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from zlib import crc32

from botocore.awsrequest import AWSResponse

import moto_items
from histories import worker_classes
from histories.faults import Fault
from histories.hostile_lambda import HostileLambda
from histories.invocation import Invocation
from histories.torn_transactions import TornTransactions
from job_runners.fake_dynamodb.boundary import response
from job_runners.fake_dynamodb.checks import Call
from job_runners.fake_dynamodb.database import Consistency
from job_runners.fake_dynamodb.tables import Key, Overlay, Table
from job_runners.testing.moto_direct import Row
from job_runners.testing.simulation.fault_injector import Answer, FaultInjector, Result, refusal_of
from moto_items import plain

_WRITES = ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems")


class HostileInjector(FaultInjector):
    """Intercepts every call to AWS in a history."""

    _world: HostileLambda

    def __init__(self, world: HostileLambda) -> None:
        super().__init__(world)
        self._torn = TornTransactions(world)
        self._transactions: set[str] = set()  # request tokens of transactions that have landed
        # Depths (in the world's stack) of invocations whose current call never gets an answer.
        self._unanswered: set[int] = set()
        # By machine and quota: the retries that are left.
        self._quotas: dict[tuple[object, int], int] = {}

    def _view(self, table: Table, consistency: Consistency) -> Overlay:
        recent: Overlay = {}
        if Fault.STALE_READS in self._world.faults and consistency is not Consistency.CONSISTENT:
            kind = self._world.pick("how stale a read is", 8)
            if kind >= 4:
                recent = self._recent.overlay(table, lambda age, key: _sees(kind, age, key))
            self._world.figures["stale reads"] += bool(recent)
        return {**recent, **self._torn.seen(table)}

    def _wrap_retry_quota(self, call: Callable[[Any, int], Any]) -> Callable[[Any, int], Any]:
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
        self._unanswered.discard(len(self._world.stack))
        if self._world.stack:
            self._world.stack[-1].called_at = self._world.time
            self._world.stack[-1].saved = None

    def _exchange(
        self, service: str, operation: str, call: Call, carry_out: Callable[[], Result]
    ) -> Result | Answer:
        self._world.check_alive("before a call")
        with self._recording_answer() as caller:

            def land() -> Result:
                if service == "dynamodb":
                    self._world.before_landing(operation, call)
                with self._torn.settling(operation, call):
                    answer = carry_out()
                if service == "dynamodb":
                    self._world.after_landing(operation, call)
                self._lose_connection(service)
                caller.is_answered = True
                return answer

            return super()._exchange(service, operation, call, land)

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
        refusal = self._refusal_by_fault(service, operation, call)
        return super()._refusal_before(service, operation, call) if refusal is None else refusal

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
            return refusal_of(service, status)
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
        if "DeleteMessage" in str(request.headers.get("X-Amz-Target", "")):
            self._world.take_off_queue(json.loads(request.body)["ReceiptHandle"])
            return response(200, {})
        is_invoke = str(request.url).endswith("/invocations")
        worker_class = worker_classes.class_of(str(request.url)) if is_invoke else None
        if worker_class is None:
            return super()._carry_out(request, event_name)
        if self._world.fault(Fault.CLASSES, "a class is not there", 12):
            self._world.figures["missing classes"] += 1
            return response(404, {"__type": "ResourceNotFoundException", "message": "none"})
        self._world.take_invoke(json.loads(request.body), worker_class)
        return response(202, None)

    def _answer(self, operation: str, call: Call) -> Answer:
        status, body = super()._answer(operation, call)
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
        if operation == "PutItem" and call["TableName"] == "jobs" and self._world.stack:
            self._world.stack[-1].saved = plain(call["Item"])["id"]
        if operation == "UpdateItem" and call["TableName"] == "jobs" and self._world.stack:
            self._note_write(self._world.stack[-1], plain(body["Attributes"]))
        if operation == "TransactWriteItems" and self._world.stack:
            for update in (each["Update"] for each in call["TransactItems"] if "Update" in each):
                # Skip other items, such as the slot that changes with the row.
                if update["TableName"] == "jobs":
                    row = moto_items.row("jobs", update["Key"])
                    self._note_write(self._world.stack[-1], row)

    def _note_write(self, invocation: Invocation, row: Row) -> None:
        claimed = row["status"] == "running"  # otherwise the write held the job
        if invocation.name == "worker" and invocation.claim is None and claimed:
            invocation.claim = row.get("claim_token")
            self._world.claims[row["claim_token"]] = invocation
        self._world.on_write(invocation, row)


def _sees(kind: int, age: int, key: Key) -> bool:
    """Return whether a stale read sees a write.

    Kind 4 misses the last write, kind 5 all recent ones, and kinds 6 and 7 those of half the items.
    `age` counts newer writes: it is 0 for the last one.
    """
    match kind:
        case 4:
            return age > 0
        case 5:
            return False
    return crc32(repr(key).encode()) % 2 == kind % 2


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
