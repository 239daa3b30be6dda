"""An in-memory DynamoDB: the operations that read and write items.

An operation takes a call and returns an answer, both in the form of DynamoDB's JSON. It raises
RequestRefused if a condition fails, or if DynamoDB would refuse the request for a few other common
reasons. If the call is unusual or might be wrong, the operation raises Unsupported and changes
nothing. Moto then handles the call instead.

An overlay has the older versions of items that a stale read sees.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import partial
from typing import NamedTuple

from job_runners.fake_dynamodb.checks import (
    Call,
    RequestRefused,
    build_item,
    check_parameters,
    check_placeholders,
    exact_key,
)
from job_runners.fake_dynamodb.expressions import (
    Attributes,
    Names,
    Unsupported,
    Values,
    compile_condition,
    compile_update,
)
from job_runners.fake_dynamodb.query import Query, project, read_projection
from job_runners.fake_dynamodb.tables import Item, Key, Overlay, Table
from job_runners.fake_dynamodb.units import size

_MAX_PAGE_SIZE = 1_000_000  # bytes of the items that one query examines
_DUPLICATE_KEYS = "Provided list of item keys contains duplicates"
_MAX_BATCH_ITEMS = {"BatchGetItem": 100, "BatchWriteItem": 25, "TransactWriteItems": 100}


class Write(NamedTuple):
    """A write of one item: its versions before and after. They are the same if nothing was written
    because a condition failed."""

    table: Table
    key: Key
    before: Item | None
    after: Item | None
    in_transaction: bool


class Read(NamedTuple):
    """A read of one item, or of the items that one query has examined."""

    table: Table
    size: int  # bytes
    consistent: bool


class Consistency(Enum):
    """Whether a read may miss recent writes."""

    CONSISTENT = "no"
    EVENTUAL = "yes"
    OF_INDEX = "yes, because it reads an index"


class Database:
    """Tables with their items. All operations are atomic.

    - `find_table` returns a table by its name, or raises Unsupported.
    - `on_write` and `on_read` are lists of functions to call for each write and each read.
    - `view` returns the overlay of a read. By default, no read is stale.
    """

    def __init__(self, find_table: Callable[[str], Table]) -> None:
        self.find_table = find_table
        self.on_write: list[Callable[[Write], None]] = []
        self.on_read: list[Callable[[Read], None]] = []
        self.view: Callable[[Table, Consistency], Overlay] | None = None
        self._lock = threading.RLock()
        self._transactions: dict[str, list[Call]] = {}  # already carried out, by token
        self._operations: dict[str, Callable[[Call], Call]] = {
            "GetItem": self._get,
            "BatchGetItem": self._batch_get,
            "Query": self._query,
            "PutItem": partial(self._write_item, "Put"),
            "UpdateItem": partial(self._write_item, "Update"),
            "DeleteItem": partial(self._write_item, "Delete"),
            "BatchWriteItem": self._batch_write,
            "TransactWriteItems": self._transact_write,
        }

    def answer(self, operation: str, call: Call) -> Call:
        """Carry out an operation, and return its answer. Raises RequestRefused and Unsupported."""
        carry_out = self._operations.get(operation)
        if carry_out is None:
            raise Unsupported
        check_parameters(operation, call)
        with self._lock:
            return carry_out(call)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other threads from using the database in this block."""
        with self._lock:
            yield

    def store(self, table: Table, key: Key, attributes: Attributes | None) -> None:
        """Store an item without any check. Delete it if the attributes are None."""
        with self._lock:
            item = None if attributes is None else Item(attributes)
            self._apply([Write(table, key, table.items.get(key), item, in_transaction=False)])

    def clear(self, name: str) -> None:
        """Delete all items of a table, and forget the transactions that were carried out."""
        with self._lock:
            table = self.find_table(name)
            for key in list(table.items):
                self.store(table, key, None)
            self._transactions.clear()

    # --- reads ------------------------------------------------------------------------------------

    def _get(self, call: Call) -> Call:
        table = self.find_table(call["TableName"])
        key = exact_key(table, call["Key"])
        names = call.get("ExpressionAttributeNames", {})
        projection = read_projection(call, names)
        # DynamoDB refuses a request that defines names without using them.
        if set(names) != set(projection or ()):
            raise Unsupported
        item = self._read_item(table, key, call.get("ConsistentRead", False))
        return {"Item": project(item.attributes, projection, names)} if item else {}

    def _batch_get(self, call: Call) -> Call:
        reads: list[tuple[Table, list[Key], bool]] = []
        for name, request in call["RequestItems"].items():
            if not set(request) <= {"Keys", "ConsistentRead"}:
                raise Unsupported
            table = self.find_table(name)
            keys = [exact_key(table, key) for key in request["Keys"]]
            reads.append((table, keys, request.get("ConsistentRead", False)))
        _check_key_counts({table.name: len(keys) for table, keys, _ in reads})
        if any(len(set(keys)) < len(keys) for _, keys, _ in reads):
            raise _invalid(_DUPLICATE_KEYS)
        responses: Call = {}
        for table, keys, consistent in reads:
            items = [self._read_item(table, key, consistent) for key in keys]
            responses[table.name] = [dict(item.attributes) for item in items if item]
        return {"Responses": responses, "UnprocessedKeys": {}}

    def _read_item(self, table: Table, key: Key, consistent: bool) -> Item | None:
        overlay = self._overlay(table, consistent, is_index=False)
        item = overlay[key] if key in overlay else table.items.get(key)
        self._note_read(table, item.size if item else 0, consistent)
        return item

    def _overlay(self, table: Table, consistent: bool, *, is_index: bool) -> Overlay:
        if self.view is None:
            return {}
        if is_index:
            return self.view(table, Consistency.OF_INDEX)
        return self.view(table, Consistency.CONSISTENT if consistent else Consistency.EVENTUAL)

    def _note_read(self, table: Table, read_size: int, consistent: bool) -> None:
        for listener in self.on_read:
            listener(Read(table, read_size, consistent))

    def _query(self, call: Call) -> Call:
        """Examine items up to the page's maximum of items and bytes, then apply the filter."""
        query = Query(self.find_table(call["TableName"]), call)
        is_index = query.index is not query.table.partitions
        overlay = self._overlay(query.table, query.consistent, is_index=is_index)
        items, partition_has_more = query.select(overlay)
        has_next_page = partition_has_more and len(items) == query.limit
        page_size = 0
        page: list[Attributes] = []
        for item in items:
            attributes = query.read_from_index(item.attributes)
            page_size += item.size if query.index.projected is None else size(attributes)
            if page and page_size > _MAX_PAGE_SIZE:
                has_next_page = True
                break
            page.append(attributes)
        self._note_read(query.table, page_size, query.consistent)
        last = items[len(page) - 1].attributes if has_next_page else None
        matches = [attributes for attributes in page if query.matches(attributes)]
        return query.answer(matches, len(page), last)

    # --- writes -----------------------------------------------------------------------------------

    def _write_item(self, kind: str, call: Call) -> Call:
        """Carry out a write outside a transaction. Raises RequestRefused if its condition fails."""
        returned = call.get("ReturnValues", "NONE")
        allowed = ("NONE", "ALL_OLD", "ALL_NEW") if kind == "Update" else ("NONE", "ALL_OLD")
        if returned not in allowed:
            raise Unsupported
        write, condition_holds = self._plan(kind, call, in_transaction=False)
        if not condition_holds:
            self._note_write(write._replace(after=write.before))
            raise RequestRefused(
                "ConditionalCheckFailedException",
                "The conditional request failed",
                **_refusal_fields(call, write),
            )
        self._apply([write])
        versions = {"NONE": None, "ALL_OLD": write.before, "ALL_NEW": write.after}
        item = versions[returned]
        return {"Attributes": dict(item.attributes)} if item else {}

    def _plan(self, kind: str, call: Call, *, in_transaction: bool) -> tuple[Write, bool]:
        """Return the write that a call asks for, and whether its condition holds.

        This doesn't store anything. Raises Unsupported.
        """
        table = self.find_table(call["TableName"])
        key = table.key_of(call["Item"]) if kind == "Put" else exact_key(table, call["Key"])
        before = table.items.get(key)
        names: Names = call.get("ExpressionAttributeNames", {})
        values: Values = call.get("ExpressionAttributeValues", {})
        stored = before.attributes if before else {}
        text = call.get("ConditionExpression")
        condition = None if text is None else compile_condition(text)
        update = compile_update(call["UpdateExpression"]) if kind == "Update" else None
        check_placeholders(call, condition, update)
        condition_holds = condition is None or condition.holds(stored, names, values)
        after = before
        if kind == "Put":
            after = build_item(table, key, call["Item"])
        elif kind == "Delete":
            after = None
        elif update is not None:
            targets = update.targets(names)
            changes_key = not set(table.keys).isdisjoint(targets)
            changes_attribute_twice = len(set(targets)) < len(targets)
            if changes_key or changes_attribute_twice:
                raise Unsupported
            if condition_holds:
                after = build_item(table, key, update.apply(stored or call["Key"], names, values))
        return Write(table, key, before, after, in_transaction), condition_holds

    def _batch_write(self, call: Call) -> Call:
        puts: list[Write] = []
        deletes: list[Write] = []
        for name, requests in call["RequestItems"].items():
            table = self.find_table(name)
            for request in requests:
                match request:
                    case {"PutRequest": {"Item": attributes}}:
                        key = table.key_of(attributes)
                        item = build_item(table, key, attributes)
                        before = table.items.get(key)
                        puts.append(Write(table, key, before, item, in_transaction=False))
                    case {"DeleteRequest": {"Key": key_attributes}}:
                        key = exact_key(table, key_attributes)
                        before = table.items.get(key)
                        deletes.append(Write(table, key, before, None, in_transaction=False))
                    case _:
                        raise Unsupported
        writes = [*puts, *deletes]
        if len(writes) > _MAX_BATCH_ITEMS["BatchWriteItem"]:  # moto has no limit
            raise _invalid("Too many items requested for the BatchWriteItem call")
        if _has_duplicates(writes):
            raise _invalid(_DUPLICATE_KEYS)
        self._apply(writes)
        return {"UnprocessedItems": {}}

    def _transact_write(self, call: Call) -> Call:
        """Plan all writes of a transaction, and apply them only if all their conditions hold."""
        items = call["TransactItems"]
        token = call.get("ClientRequestToken")
        if token is not None and self._transactions.get(token) == items:
            return {}  # DynamoDB doesn't carry out the same request twice
        if token in self._transactions:
            raise Unsupported
        writes: list[Write] = []
        all_hold = True
        reasons: list[Call] = []
        for item in items:
            ((kind, write_call),) = item.items()  # its only entry, such as {"Put": {...}}
            check_parameters(kind, write_call)
            write, condition_holds = self._plan(kind, write_call, in_transaction=True)
            writes.append(write)
            all_hold = all_hold and condition_holds
            reasons.append(_cancellation_reason(write_call, write, condition_holds))
        if len(items) > _MAX_BATCH_ITEMS["TransactWriteItems"]:
            raise _invalid(
                "1 validation error detected at 'transactItems' failed to satisfy constraint: "
                "Member must have length less than or equal to 100."
            )
        if _has_duplicates(writes):
            raise _invalid("Transaction request cannot include multiple operations on one item")
        if not all_hold:
            for write in writes:
                self._note_write(write._replace(after=write.before))
            raise _canceled(reasons)
        self._apply(writes)
        if token is not None:
            self._transactions[token] = items
        return {}

    def _apply(self, writes: Iterable[Write]) -> None:
        for write in writes:
            if write.after is None:
                write.table.delete(write.key)
            elif write.after is not write.before:
                write.table.put(write.key, write.after)
            self._note_write(write)

    def _note_write(self, write: Write) -> None:
        for listener in self.on_write:
            listener(write)


def _refusal_fields(call: Call, write: Write) -> Call:
    """Return the other fields of a refusal. They have the stored item if the call asks for it."""
    choice = call.get("ReturnValuesOnConditionCheckFailure", "NONE")
    if choice not in ("NONE", "ALL_OLD"):
        raise Unsupported
    if choice == "ALL_OLD" and write.before:
        return {"Item": write.before.attributes}
    return {}


def _cancellation_reason(call: Call, write: Write, condition_holds: bool) -> Call:
    """Return one entry of a canceled transaction's reasons. Its code is None if the condition of
    this write holds."""
    if condition_holds:
        return {"Code": "None"}
    refusal = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
    return refusal | _refusal_fields(call, write)


def _canceled(reasons: list[Call]) -> RequestRefused:
    codes = ", ".join(reason["Code"] for reason in reasons)
    return RequestRefused(
        "TransactionCanceledException",
        f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]",
        CancellationReasons=reasons,
    )


def _invalid(message: str) -> RequestRefused:
    return RequestRefused("ValidationException", message)


def _check_key_counts(counts: dict[str, int]) -> None:
    """Refuse a batch of reads with too many keys. The counts are by table."""
    limit = _MAX_BATCH_ITEMS["BatchGetItem"]
    for name, count in counts.items():
        if count > limit:
            raise _invalid(
                f"1 validation error detected: Value at 'requestItems.{name}.member.keys' failed "
                "to satisfy constraint: Member must have length less than or equal to 100"
            )
    if sum(counts.values()) > limit:
        raise _invalid("Too many items requested for the BatchGetItem call")


def _has_duplicates(writes: Iterable[Write]) -> bool:
    """Return whether two writes change the same item."""
    keys = [(write.table.name, write.key) for write in writes]
    return len(set(keys)) < len(keys)
