"""A DynamoDB in memory: the operations that read and write items, with sorted indexes.

An operation takes a call and returns an answer, both in the form of DynamoDB's JSON. It raises
RequestRefused if a condition fails. It raises Unsupported, without any change, for anything that
isn't an ordinary, correct request: moto then handles the call instead.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import NamedTuple

from job_runners.fake_dynamodb.checks import (
    Call,
    RequestRefused,
    check_parameters,
    check_placeholders,
    checked_item,
    exact_key,
)
from job_runners.fake_dynamodb.expressions import (
    Attributes,
    Names,
    Unsupported,
    Values,
    condition_of,
    update_of,
)
from job_runners.fake_dynamodb.query import Query, projected, projected_names
from job_runners.fake_dynamodb.tables import Item, Key, Overlay, Table
from job_runners.fake_dynamodb.units import size as size_of

_MAX_PAGE_SIZE = 1_000_000  # bytes of the items that one query examines
_DUPLICATES = "Provided list of item keys contains duplicates"
_MAX_BATCH_ITEMS = {"BatchGetItem": 100, "BatchWriteItem": 25, "TransactWriteItems": 100}


class Write(NamedTuple):
    """A write of one item. If nothing was written, `after` is `before`."""

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
    """What a read may miss."""

    CONSISTENT = "nothing"
    EVENTUAL = "recent writes"
    OF_INDEX = "recent writes, because it reads an index"


class Database:
    """Tables with their items. All operations are atomic.

    - `find_table` returns a table by its name. It raises Unsupported.
    - `on_write` and `on_read` are called for each write and read.
    - `view` returns older versions of items that a read sees instead, or nothing.
    """

    def __init__(self, find_table: Callable[[str], Table]) -> None:
        self.find_table = find_table
        self.on_write: list[Callable[[Write], None]] = []
        self.on_read: list[Callable[[Read], None]] = []
        self.view: Callable[[Table, Consistency], Overlay] | None = None
        self._lock = threading.RLock()
        self._tokens: dict[str, list[Call]] = {}  # transactions by their request token
        self._operations: dict[str, Callable[[Call], Call]] = {
            "GetItem": self._get,
            "BatchGetItem": self._batch_get,
            "Query": self._query,
            "PutItem": self._put,
            "UpdateItem": self._update,
            "DeleteItem": self._delete,
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
        """Let no other thread use the database in this block."""
        with self._lock:
            yield

    def store(self, table: Table, key: Key, attributes: Attributes | None) -> None:
        """Store an item without any check, or delete it."""
        with self._lock:
            item = None if attributes is None else Item(attributes)
            self._apply([Write(table, key, table.items.get(key), item, in_transaction=False)])

    def clear(self, name: str) -> None:
        """Delete all items of a table, and forget the transactions that were carried out."""
        with self._lock:
            table = self.find_table(name)
            for key in list(table.items):
                self.store(table, key, None)
            self._tokens.clear()

    # --- reads ------------------------------------------------------------------------------------

    def _get(self, call: Call) -> Call:
        table = self.find_table(call["TableName"])
        key = exact_key(table, call["Key"])
        names = call.get("ExpressionAttributeNames", {})
        projection = projected_names(call, names)
        if set(names) != set(projection or ()):
            raise Unsupported
        consistent = call.get("ConsistentRead", False)
        item = self._read_item(table, key, consistent)
        return {"Item": projected(item.attributes, projection, names)} if item else {}

    def _batch_get(self, call: Call) -> Call:
        reads: list[tuple[Table, list[Key], bool]] = []
        for name, request in call["RequestItems"].items():
            if not set(request) <= {"Keys", "ConsistentRead"}:
                raise Unsupported
            table = self.find_table(name)
            keys = [exact_key(table, key) for key in request["Keys"]]
            reads.append((table, keys, request.get("ConsistentRead", False)))
        _check_key_counts("BatchGetItem", {table.name: len(keys) for table, keys, _ in reads})
        if any(len(set(keys)) < len(keys) for _, keys, _ in reads):
            raise _invalid(_DUPLICATES)
        responses: Call = {}
        for table, keys, consistent in reads:
            items = [self._read_item(table, key, consistent) for key in keys]
            responses[table.name] = [dict(item.attributes) for item in items if item]
        return {"Responses": responses, "UnprocessedKeys": {}}

    def _read_item(self, table: Table, key: Key, consistent: bool) -> Item | None:
        kind = Consistency.CONSISTENT if consistent else Consistency.EVENTUAL
        overlay = self.view(table, kind) if self.view else {}
        item = overlay[key] if key in overlay else table.items.get(key)
        self._note_read(table, item.size if item else 0, consistent)
        return item

    def _note_read(self, table: Table, size: int, consistent: bool) -> None:
        for listener in self.on_read:
            listener(Read(table, size, consistent))

    def _query(self, call: Call) -> Call:
        query = Query(self.find_table(call["TableName"]), call)
        kind = Consistency.CONSISTENT if query.consistent else Consistency.EVENTUAL
        if query.index is not query.table.partitions:
            kind = Consistency.OF_INDEX
        overlay = self.view(query.table, kind) if self.view else {}
        items, has_more = query.select(overlay)
        has_more = has_more and len(items) == query.limit
        size = 0
        page: list[Attributes] = []
        for item in items:
            attributes = query.project(item.attributes)
            size += item.size if query.index.projected is None else size_of(attributes)
            if page and size > _MAX_PAGE_SIZE:
                items, has_more = items[: len(page)], True
                break
            page.append(attributes)
        self._note_read(query.table, size, query.consistent)
        last = items[-1].attributes if has_more else None
        matches = [attributes for attributes in page if query.keeps(attributes)]
        return query.answer(matches, len(page), last)

    # --- writes -----------------------------------------------------------------------------------

    def _put(self, call: Call) -> Call:
        write = self._check_write("Put", call, returns=("NONE", "ALL_OLD"))
        self._apply([write])
        return _old_item_answer(call, write)

    def _update(self, call: Call) -> Call:
        write = self._check_write("Update", call, returns=("NONE", "ALL_OLD", "ALL_NEW"))
        self._apply([write])
        if call.get("ReturnValues") == "ALL_NEW" and write.after:
            return {"Attributes": dict(write.after.attributes)}
        return _old_item_answer(call, write)

    def _delete(self, call: Call) -> Call:
        write = self._check_write("Delete", call, returns=("NONE", "ALL_OLD"))
        self._apply([write])
        return _old_item_answer(call, write)

    def _check_write(self, kind: str, call: Call, *, returns: tuple[str, ...]) -> Write:
        """Plan a write outside a transaction, whose condition must hold.

        Raises RequestRefused and Unsupported.
        """
        if call.get("ReturnValues", "NONE") not in returns:
            raise Unsupported
        write, holds = self._plan(kind, call, in_transaction=False)
        if holds:
            return write
        self._note_write(write._replace(after=write.before))
        raise RequestRefused(
            "ConditionalCheckFailedException",
            "The conditional request failed",
            **_refusal_fields(call, write),
        )

    def _plan(self, kind: str, call: Call, *, in_transaction: bool) -> tuple[Write, bool]:
        """Plan a write: return it, and whether its condition holds. Raises Unsupported."""
        table = self.find_table(call["TableName"])
        key = table.key_of(call["Item"]) if kind == "Put" else exact_key(table, call["Key"])
        before = table.items.get(key)
        names: Names = call.get("ExpressionAttributeNames", {})
        values: Values = call.get("ExpressionAttributeValues", {})
        stored = before.attributes if before else {}
        text = call.get("ConditionExpression")
        condition = condition_of(text) if text is not None else None
        update = update_of(call["UpdateExpression"]) if kind == "Update" else None
        check_placeholders(call, condition, update)
        holds = condition is None or condition.holds(stored, names, values)
        after = before
        if kind == "Put":
            after = checked_item(table, key, call["Item"])
        elif kind == "Delete":
            after = None
        elif update is not None:
            targets = update.targets(names)
            changes_key = not set(table.keys).isdisjoint(targets)
            if changes_key or len(set(targets)) < len(targets):  # or changes an attribute twice
                raise Unsupported
            if holds:
                after = checked_item(table, key, update.apply(stored or call["Key"], names, values))
        return Write(table, key, before, after, in_transaction), holds

    def _batch_write(self, call: Call) -> Call:
        puts: list[Write] = []
        deletes: list[Write] = []
        for name, requests in call["RequestItems"].items():
            table = self.find_table(name)
            for request in requests:
                match request:
                    case {"PutRequest": {"Item": attributes}}:
                        key = table.key_of(attributes)
                        item = checked_item(table, key, attributes)
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
            raise _invalid(_DUPLICATES)
        self._apply(writes)
        return {"UnprocessedItems": {}}

    def _transact_write(self, call: Call) -> Call:
        items, token = call["TransactItems"], call.get("ClientRequestToken")
        if token is not None and self._tokens.get(token) == items:
            return {}  # DynamoDB doesn't carry out the same request twice
        if token in self._tokens:
            raise Unsupported
        plans: list[tuple[Write, bool]] = []
        reasons: list[Call] = []
        for item in items:
            ((kind, write_call),) = item.items()
            check_parameters(kind, write_call)
            write, holds = self._plan(kind, write_call, in_transaction=True)
            plans.append((write, holds))
            reasons.append(_reason(write_call, write, holds))
        if len(items) > _MAX_BATCH_ITEMS["TransactWriteItems"]:
            raise _invalid(
                "1 validation error detected at 'transactItems' failed to satisfy constraint: "
                "Member must have length less than or equal to 100."
            )
        if _has_duplicates(write for write, _ in plans):
            raise _invalid("Transaction request cannot include multiple operations on one item")
        if not all(holds for _, holds in plans):
            for write, _ in plans:
                self._note_write(write._replace(after=write.before))
            raise _canceled(reasons)
        self._apply(write for write, _ in plans)
        if token is not None:
            self._tokens[token] = items
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


def _old_item_answer(call: Call, write: Write) -> Call:
    if call.get("ReturnValues") == "ALL_OLD" and write.before:
        return {"Attributes": dict(write.before.attributes)}
    return {}


def _refusal_fields(call: Call, write: Write) -> Call:
    """Return the fields of a refusal: the stored item, if the call asks for it."""
    choice = call.get("ReturnValuesOnConditionCheckFailure", "NONE")
    if choice not in ("NONE", "ALL_OLD"):
        raise Unsupported
    if choice == "ALL_OLD" and write.before:
        return {"Item": write.before.attributes}
    return {}


def _reason(call: Call, write: Write, holds: bool) -> Call:
    """Return why a part of a transaction canceled it, in the form of a cancellation reason."""
    if holds:
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


def _check_key_counts(operation: str, keys: dict[str, int]) -> None:
    """Refuse a batch of reads with too many keys. `keys` has their count for each table."""
    for name, count in keys.items():
        if count > _MAX_BATCH_ITEMS[operation]:
            raise _invalid(
                f"1 validation error detected: Value at 'requestItems.{name}.member.keys' failed "
                "to satisfy constraint: Member must have length less than or equal to 100"
            )
    if sum(keys.values()) > _MAX_BATCH_ITEMS[operation]:
        raise _invalid(f"Too many items requested for the {operation} call")


def _has_duplicates(writes: Iterable[Write]) -> bool:
    """Return whether two writes are of the same item."""
    keys = [(write.table.name, write.key) for write in writes]
    return len(set(keys)) < len(keys)
