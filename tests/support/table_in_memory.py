"""The jobs table as a dict, below pynamodb's calls: verbs and queries of the store run as they are,
their conditions are checked, and the due index pages and sorts. A hundred times faster than moto,
for what takes 100,000 rows and a day.
"""

import bisect
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pynamodb.exceptions import PutError, UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.operand import Path, Value, _IfNotExists, _Increment
from pynamodb.expressions.update import Action, RemoveAction

from store.job_request import JobRequest
from store.table import Table

Raw = dict[str, Any]  # an attribute's name to its value: a number as an int, else DynamoDB's own

_COMPARED = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_REFUSED: Any = {"Error": {"Code": "ConditionalCheckFailedException", "Message": "it does not"}}


class TableInMemory:
    """Every row, and the due index. `on_call` hears of each request, by its operation's name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: dict[str, Raw] = {}
        self.on_call: Callable[[str], None] = lambda operation: None
        self._attributes = {each.attr_name: each for each in JobRequest.get_attributes().values()}
        self._read: dict[str, dict[str, Any]] = {}  # the rows again, as pynamodb would read them
        self._due: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for name in ("get", "save", "update"):
            here = getattr(self, f"_{name}")
            monkeypatch.setattr(
                JobRequest, name, staticmethod(here) if name == "get" else _method(here)
            )
        monkeypatch.setattr(JobRequest.due, "query", self._query)
        monkeypatch.setattr(JobRequest, "count_up_to", self._count)

    def row(self, job_id: str) -> JobRequest:
        """Return a row as it is now."""
        row = JobRequest.__new__(JobRequest)
        row.attribute_values = dict(self._read[job_id])
        return row

    def _get(self, job_id: str, consistent_read: bool) -> JobRequest:
        self.on_call("GetItem")
        assert consistent_read
        if job_id not in self.rows:
            raise JobRequest.DoesNotExist
        return self.row(job_id)

    def _save(self, job: JobRequest, condition: Condition) -> None:
        self.on_call("PutItem")
        if not self.holds(condition, job.id):
            raise PutError("refused", ClientError(_REFUSED, "PutItem"))
        self.put(job)

    def _update(self, job: JobRequest, actions: list[Action], condition: Condition) -> None:
        self.on_call("UpdateItem")
        if not self.holds(condition, job.id):
            raise UpdateError("refused", ClientError(_REFUSED, "UpdateItem"))
        self.change(job.id, actions)
        job.attribute_values = dict(self._read[job.id])

    def holds(self, condition: Condition, job_id: str) -> bool:
        """Return whether a condition on a row holds."""
        return self._holds(condition, self.rows.get(job_id, {}))

    def put(self, job: JobRequest) -> None:
        """Put a row, whatever there is."""
        row = plain_item(job)
        self._read[job.id] = {}
        self._put(row, row)

    def change(self, job_id: str, actions: list[Action]) -> None:
        """Change a row."""
        after = changed(self.rows.get(job_id, {}), actions)
        self._put(after, [_name(action) for action in actions])

    def drop(self, job_id: str) -> None:
        """Drop a row that has ended."""
        assert "due_shard" not in self.rows.pop(job_id)
        del self._read[job_id]

    def _put(self, row: Raw, changed: Iterable[str]) -> None:
        job_id = row["id"]
        before = self.rows.get(job_id, {})
        self.rows[job_id] = row
        for name in changed:
            read = self._attributes[name].deserialize(row[name]) if name in row else None
            self._read[job_id][name] = read
        old, new = (
            (each["due_shard"], each["due_at"]) if "due_shard" in each else None
            for each in (before, row)
        )
        if old == new:
            return
        if old:
            shard = self._due[old[0]]
            del shard[bisect.bisect_left(shard, (old[1], job_id))]
        if new:
            bisect.insort(self._due[new[0]], (new[1], job_id))

    def _query(
        self, shard: str, when: Condition, page_size: int, scan_index_forward: bool
    ) -> Iterator[JobRequest]:
        low, high = (_plain(each.value) for each in when.values[1:])
        first, end = (low, ""), (high + 1, "")
        while True:
            self.on_call("Query")
            due = self._due[shard]
            found = due[bisect.bisect_right(due, first) : bisect.bisect_left(due, end)]
            page = found[:page_size] if scan_index_forward else found[::-1][:page_size]
            for due_at, job_id in page:
                yield JobRequest(id=job_id, due_shard=shard, due_at=due_at)
            if len(page) < page_size:
                return
            if scan_index_forward:
                first = page[-1]
            else:
                end = page[-1]

    def _count(self, most: int, shard: str, when: Condition, *, index_name: str) -> int:
        assert index_name == JobRequest.due.Meta.index_name
        self.on_call("Query")
        after = _plain(when.values[1].value)
        due = self._due[shard]
        return min(most, len(due) - bisect.bisect_left(due, (after + 1, "")))

    def _holds(self, condition: Condition, row: Raw) -> bool:
        name, parts = condition.operator, condition.values
        if name == "AND":
            return self._holds(parts[0], row) and self._holds(parts[1], row)
        if name == "OR":
            return self._holds(parts[0], row) or self._holds(parts[1], row)
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


def changed(before: Raw, actions: Iterable[Action]) -> Raw:
    """Return what an item is after an update."""
    after = dict(before)
    for action in actions:
        if isinstance(action, RemoveAction):
            after.pop(_name(action), None)
        else:
            after[_name(action)] = _value(action.values[1], before)
    return after


def plain_item(record: Table) -> Raw:
    """Return a record as it is put."""
    item = record.serialize(null_check=False)
    return {name: _plain(value) for name, value in item.items()}


def _method(call: Callable[..., Any]) -> Callable[..., Any]:
    return lambda job, *given, **named: call(job, *given, **named)


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
