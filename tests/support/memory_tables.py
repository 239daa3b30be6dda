"""Tables as dicts, below pynamodb's calls: verbs and queries of the store run unchanged.

Conditions are checked, transactions are all or nothing, and the due index sorts and pages. Tests
that need 100,000 rows or a year of timer runs use it, because it is a hundred times faster than
moto.
"""

import bisect
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, Self

import pytest
from botocore.exceptions import ClientError
from pynamodb.exceptions import (
    CancellationReason,
    PutError,
    TransactWriteError,
    UpdateError,
    VerboseClientError,
)
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path, Value, _IfNotExists, _Increment
from pynamodb.expressions.update import Action, RemoveAction

from job_runners.store import schedule_marks, transactions
from job_runners.store.job_request import JobRequest
from job_runners.store.schedule_marks import Mark
from job_runners.store.schedules import Schedule
from job_runners.store.table import Table

Raw = dict[str, Any]  # an attribute's name to its value: a number as an int, else DynamoDB's own
Key = Any  # a job's id, or the pk and sk of another record

_COMPARED = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_REFUSED: Any = {"Error": {"Code": "ConditionalCheckFailedException", "Message": "it does not"}}
_MEGABYTE = 5000  # keys in the largest page of an index


class MemoryTables:
    """The jobs, and the records of these other kinds.

    `on_call` is called with the operation's name at each request.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *kinds: type[Table]) -> None:
        self.on_call: Callable[[str], None] = lambda operation: None
        all_kinds: list[type[Table]] = [JobRequest, *kinds]
        self._records = {
            kind: Records(monkeypatch, kind, lambda operation: self.on_call(operation))
            for kind in all_kinds
        }
        self.jobs = self.of(JobRequest)
        monkeypatch.setattr(transactions, "TransactWrite", lambda connection: _Transaction(self))
        if Schedule in kinds:
            monkeypatch.setattr(schedule_marks, "marks", self._marks)

    def of(self, kind: type[Table]) -> "Records":
        """Return the records of a kind."""
        return self._records[kind]

    def _marks(self) -> list[Mark]:
        self.on_call("Query")
        return [Mark(sk="in use")] if self.of(Schedule).rows else []


class Records:
    """The records of one kind, and their due index."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, kind: type[Table], on_call: Callable[[str], None]
    ) -> None:
        self.rows: dict[Key, Raw] = {}
        self._kind: Any = kind
        self._on_call = on_call
        self._attributes = {each.attr_name: each for each in kind.get_attributes().values()}
        self._is_of_jobs = kind is JobRequest
        self._defaults = {} if self._is_of_jobs else dict(self._kind().attribute_values)
        self._read: dict[Key, dict[str, Any]] = {}  # the rows again, as pynamodb would read them
        self._due: dict[str, list[tuple[int, Key]]] = defaultdict(list)
        monkeypatch.setattr(kind, "get", self._get)
        monkeypatch.setattr(kind, "batch_get", self._batch_get)
        monkeypatch.setattr(kind, "save", _method(self._save))
        monkeypatch.setattr(kind, "update", _method(self._update))
        if hasattr(kind, "due"):
            monkeypatch.setattr(kind.due, "query", self._query)
        if self._is_of_jobs:
            monkeypatch.setattr(kind, "count_up_to", self._count)

    def row(self, key: Key) -> Any:
        """Return a record as it is now."""
        row = self._kind.__new__(self._kind)
        row.attribute_values = self._defaults | self._read[key]
        return row

    def holds(self, condition: Condition, key: Key) -> bool:
        """Return whether a condition on a record holds."""
        return _holds(condition, self.rows.get(key, {}))

    def put(self, record: Table) -> None:
        """Put a record. It replaces an existing one."""
        item = record.serialize(null_check=False)
        row = {name: _plain(value) for name, value in item.items()}
        key = self.key_of(record)
        self._read[key] = {}
        self._put(key, row, row)

    def change(self, key: Key, actions: Iterable[Action]) -> None:
        """Change a record, or create it."""
        before = self.rows.get(key) or self._key_attributes(key)
        after, names = dict(before), [] if key in self.rows else [*before]
        for action in actions:
            name = _name(action)
            names.append(name)
            if isinstance(action, RemoveAction):
                after.pop(name, None)
            else:
                after[name] = _value(action.values[1], before)
        self._put(key, after, names)

    def delete(self, key: Key) -> None:
        """Delete a record, if it exists. It must not be due."""
        assert "due_shard" not in self.rows.pop(key, {})
        self._read.pop(key, None)

    def key_of(self, record: Any) -> Key:
        """Return the key of a record."""
        return record.id if self._is_of_jobs else (record.pk, record.sk)

    def _key_attributes(self, key: Key) -> Raw:
        return {"id": key} if self._is_of_jobs else {"pk": key[0], "sk": key[1]}

    def _put(self, key: Key, row: Raw, changed: Iterable[str]) -> None:
        before = self.rows.get(key, {})
        self.rows[key] = row
        read = self._read.setdefault(key, {})
        for name in changed:
            if name in row:
                read[name] = self._attributes[name].deserialize(row[name])
            else:
                read.pop(name, None)
        old, new = (
            (each["due_shard"], each["due_at"]) if "due_shard" in each else None
            for each in (before, row)
        )
        if old == new:
            return
        if old:
            shard = self._due[old[0]]
            del shard[bisect.bisect_left(shard, (old[1], key))]
        if new:
            bisect.insort(self._due[new[0]], (new[1], key))

    def _get(self, *key: str, consistent_read: bool) -> Any:
        self._on_call("GetItem")
        assert consistent_read
        found = key[0] if self._is_of_jobs else key
        if found not in self.rows:
            raise self._kind.DoesNotExist
        return self.row(found)

    def _batch_get(self, keys: Sequence[Key], consistent_read: bool) -> Iterator[Any]:
        if keys:  # otherwise pynamodb sends no request
            self._on_call("BatchGetItem")
        assert consistent_read
        assert len(keys) <= 100
        return iter([self.row(key) for key in keys if key in self.rows])

    def _save(self, record: Table, condition: Condition) -> None:
        self._on_call("PutItem")
        if not self.holds(condition, self.key_of(record)):
            raise PutError("refused", ClientError(_REFUSED, "PutItem"))
        self.put(record)

    def _update(self, record: Table, actions: Iterable[Action], condition: Condition) -> None:
        self._on_call("UpdateItem")
        key = self.key_of(record)
        if not self.holds(condition, key):
            raise UpdateError("refused", ClientError(_REFUSED, "UpdateItem"))
        self.change(key, actions)
        record.attribute_values = self.row(key).attribute_values

    def _query(self, *given: Any, limit: int | None = None, **named: Any) -> Iterator[Any]:
        return islice(self._found(*given, **named), limit)

    def _found(
        self,
        shard: str,
        when: Condition,
        page_size: int = _MEGABYTE,
        scan_index_forward: bool = True,
    ) -> Iterator[Any]:
        *low, high = (_plain(each.value) for each in when.values[1:])
        lowest: Key = "" if self._is_of_jobs else ("", "")
        first, end = (low[0] if low else 0, lowest), (high + 1, lowest)
        while True:
            self._on_call("Query")
            due = self._due[shard]
            found = due[bisect.bisect_right(due, first) : bisect.bisect_left(due, end)]
            page = found[:page_size] if scan_index_forward else found[::-1][:page_size]
            for due_at, key in page:
                attributes = self._key_attributes(key)
                yield self._kind(**attributes, due_shard=shard, due_at=due_at)
            if len(page) < page_size:
                return
            if scan_index_forward:
                first = page[-1]
            else:
                end = page[-1]

    def _count(self, most: int, shard: str, when: Condition, *, index_name: str) -> int:
        assert index_name == JobRequest.due.Meta.index_name
        self._on_call("Query")
        after = _plain(when.values[1].value)
        due = self._due[shard]
        return min(most, len(due) - bisect.bisect_left(due, (after + 1, "")))


class _Write(NamedTuple):
    records: Records
    how: str
    key: Key
    content: Any
    condition: Condition | None

    def holds(self) -> bool:
        return self.condition is None or self.records.holds(self.condition, self.key)

    def apply(self) -> None:
        match self.how:
            case "delete":
                self.records.delete(self.key)
            case "put":
                self.records.put(self.content)
            case "change":
                self.records.change(self.key, self.content)


class _Transaction:
    """One transaction. Its writes are in the order in which pynamodb sends them."""

    def __init__(self, memory: MemoryTables) -> None:
        self._memory = memory
        self._writes: dict[str, list[_Write]] = {
            how: [] for how in ("check", "delete", "put", "change")
        }

    def condition_check(self, kind: type[Table], *key: str, condition: Condition) -> None:
        at = key[0] if kind is JobRequest else key
        self._writes["check"].append(_Write(self._memory.of(kind), "check", at, None, condition))

    def delete(self, record: Table, condition: Condition | None) -> None:
        self._add("delete", record, None, condition)

    def save(self, record: Table, condition: Condition | None) -> None:
        self._add("put", record, record, condition)

    def update(self, record: Table, actions: list[Action], condition: Condition | None) -> None:
        self._add("change", record, actions, condition)

    def _add(self, how: str, record: Any, content: Any, condition: Condition | None) -> None:
        records = self._memory.of(type(record))
        self._writes[how].append(_Write(records, how, records.key_of(record), content, condition))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.on_call("TransactWriteItems")
        writes = [each for of_a_kind in self._writes.values() for each in of_a_kind]
        held = [each.holds() for each in writes]
        if not all(held):
            raise _canceled(held)
        for each in writes:
            each.apply()


def _canceled(held: list[bool]) -> TransactWriteError:
    refused = CancellationReason(code="ConditionalCheckFailed")
    reasons = [None if each else refused for each in held]
    answer: Any = {
        "Error": {"Code": "TransactionCanceledException", "Message": "it does not"},
        "CancellationReasons": [{"Code": each.code if each else "None"} for each in reasons],
    }
    error = VerboseClientError(answer, "TransactWriteItems", cancellation_reasons=reasons)
    return TransactWriteError("refused", error)


def _holds(condition: Condition, row: Raw) -> bool:
    name, parts = condition.operator, condition.values
    if name == "AND":
        return _holds(parts[0], row) and _holds(parts[1], row)
    if name == "OR":
        return _holds(parts[0], row) or _holds(parts[1], row)
    found = row.get(parts[0].path[0])
    if name == "attribute_exists":
        return found is not None
    if name == "attribute_not_exists":
        return found is None
    if found is None:
        return False
    others = [_value(each, row) for each in parts[1:]]
    if name == "IN":
        return found in others
    return bool(_COMPARED[name](found, others[0]))


def _method(call: Callable[..., Any]) -> Callable[..., Any]:
    return lambda record, *given, **named: call(record, *given, **named)


def _name(action: Action) -> str:
    path: Any = action.values[0]
    return str(path.path[0])


def _value(operand: Any, row: Raw) -> Any:
    match operand:
        case Value():
            return _plain(operand.value)
        case Path():
            return row.get(operand.path[0])
        case _IfNotExists():
            found = row.get(operand.values[0].path[0])
            return _value(operand.values[1], row) if found is None else found
        case _Increment():
            return _value(operand.values[0], row) + _value(operand.values[1], row)
    raise NotImplementedError(operand)


def _plain(value: dict[str, Any]) -> Any:
    ((kind, content),) = value.items()
    return int(content) if kind == "N" else content
