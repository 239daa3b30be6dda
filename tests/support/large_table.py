"""A jobs table of any size, below the client's calls: it answers from sorted keys what moto would
look through every row for, and counts requests and the units that they use.

Writes are moto's own, of the one row that they change: conditions and updates are checked there.
"""

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from job_runners.aws import clients
from job_runners.store.job_request import JobRequest
from write_units import INDEXES, Item, size, write_units


class Rows:
    """Rows, made of a few that are alike, and the sorted keys of their indexes."""

    def __init__(self) -> None:
        # Of each row what it shares with others, and what is its own: 100,000 whole ones are large.
        self._rows: dict[str, tuple[Item, Item]] = {}
        self._indexes: dict[str, dict[str, list[tuple[Any, str]]]] = {
            name: defaultdict(list) for name in INDEXES
        }

    def __len__(self) -> int:
        return len(self._rows)

    def fill(self, alike: Item, changes: Iterable[Item]) -> None:
        """Add rows that differ from one in these attributes."""
        for own in changes:
            job_id = own["id"]["S"]
            self._rows[job_id] = (alike, own)
            for index, partition, key in _entries({**alike, **own}):
                self._indexes[index][partition].append((key, job_id))
        for partitions in self._indexes.values():
            for keys in partitions.values():
                keys.sort()

    def copy(self) -> "Rows":
        """Return the same rows, to be changed."""
        copy = Rows()
        copy._rows = dict(self._rows)
        for index, partitions in self._indexes.items():
            copy._indexes[index].update({name: list(keys) for name, keys in partitions.items()})
        return copy

    def row(self, job_id: str) -> Item:
        """Return a row, empty if there is none."""
        alike, own = self._rows.get(job_id, ({}, {}))
        return {**alike, **own}

    def replace(self, job_id: str, after: Item) -> None:
        """Have this row instead of the one of that id."""
        for index, partition, key in _entries(self.row(job_id)):
            self._indexes[index][partition].remove((key, job_id))
        for index, partition, key in _entries(after):
            bisect.insort(self._indexes[index][partition], (key, job_id))
        self._rows[job_id] = ({}, after)

    def keys(self, index: str, call: dict[str, Any]) -> list[str]:
        """Return the ids that a query asks for as pynamodb does: those of a partition of an index,
        between two times or after one, from where the page before has ended."""
        values = call["ExpressionAttributeValues"]
        keys = self._indexes[index][values[":0"]["S"]]
        forward, start = call.get("ScanIndexForward", True), call.get("ExclusiveStartKey")
        first, end = 0, len(keys)
        if ":1" in values:  # of a pair, the second is the last; alone, all that come after it
            low = int(values[":1"]["N"]) + (":2" not in values)
            first = bisect.bisect_left(keys, (low, ""))
        if ":2" in values:
            end = bisect.bisect_left(keys, (int(values[":2"]["N"]) + 1, ""))
        if start:
            (at,) = (each for each in _entries(start) if each[0] == index)
            place = bisect.bisect_left(keys, (at[2], start["id"]["S"]))
            first, end = (place + 1, end) if forward else (first, place)
        found = [job_id for _, job_id in keys[first:end]]
        return found if forward else found[::-1]


class LargeTable:
    """The table, with these rows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rows: Rows) -> None:
        self._requests: Counter[str] = Counter()
        self._units: dict[str, float] = defaultdict(float)  # "read" and "write"
        self._rows = rows
        client = clients.client("dynamodb")
        self._moto = client._make_api_call
        monkeypatch.setattr(client, "_make_api_call", self._answer)

    def costs(self) -> tuple[dict[str, int], dict[str, float]]:
        """Return the requests by operation, and the units, since this was asked last."""
        found = dict(self._requests), dict(self._units)
        self._requests.clear()
        self._units.clear()
        return found

    def _answer(self, operation: str, call: dict[str, Any]) -> Any:
        self._requests[operation] += 1
        if operation != "BatchGetItem" and call["TableName"] != JobRequest.Meta.table_name:
            return self._moto(operation, call)
        answers = {
            "GetItem": self._get,
            "BatchGetItem": self._batch_get,
            "Query": self._query,
            "UpdateItem": self._update,
        }
        return answers[operation](call)

    def _get(self, call: dict[str, Any]) -> Any:
        row = self._rows.row(call["Key"]["id"]["S"])
        self._units["read"] += _read_units(size(row), consistent=call.get("ConsistentRead", False))
        return {"Item": row} if row else {}

    def _batch_get(self, call: dict[str, Any]) -> Any:
        ((table, asked),) = call["RequestItems"].items()
        rows = [self._rows.row(key["id"]["S"]) for key in asked["Keys"]]
        self._units["read"] += sum(_read_units(size(row)) for row in rows)
        return {"Responses": {table: [row for row in rows if row]}, "UnprocessedKeys": {}}

    def _query(self, call: dict[str, Any]) -> Any:
        index = call["IndexName"]
        found = self._rows.keys(index, call)
        page = found[: call.get("Limit", len(found))]
        names = ("id", *INDEXES[index])
        items = [{name: self._rows.row(job_id)[name] for name in names} for job_id in page]
        self._units["read"] += _read_units(sum(map(size, items)))
        answer: dict[str, Any] = {"Count": len(items), "ScannedCount": len(items)}
        if len(page) < len(found):
            answer["LastEvaluatedKey"] = items[-1]
        return answer if call.get("Select") == "COUNT" else answer | {"Items": items}

    def _update(self, call: dict[str, Any]) -> Any:
        job_id = call["Key"]["id"]["S"]
        before = self._rows.row(job_id)
        named = {"TableName": call["TableName"]}
        if before:
            self._moto("PutItem", {**named, "Item": before})
        try:
            return self._moto("UpdateItem", call)
        finally:
            after = self._moto("GetItem", {**named, "Key": call["Key"]}).get("Item", {})
            self._moto("DeleteItem", {**named, "Key": call["Key"]})
            self._units["write"] += write_units(before, after)
            self._rows.replace(job_id, after)


def _entries(row: Item) -> Iterator[tuple[str, str, Any]]:
    """Yield the indexes that a row is in, each with its partition and its sort key there."""
    for index, (hash_name, range_name) in INDEXES.items():
        if hash_name in row and range_name in row:
            ((kind, key),) = row[range_name].items()
            yield index, row[hash_name]["S"], int(key) if kind == "N" else key


def _read_units(bytes_read: int, *, consistent: bool = False) -> float:
    """Return the units of a read, of one item or of all the items that a query looks at."""
    units = max(1, -(-bytes_read // 4096))
    return units if consistent else units / 2
