"""Transactions of what is kept in memory, below pynamodb's calls: all or nothing, each write under
its condition."""

from typing import Any, NamedTuple, Self

import pytest
from pynamodb.exceptions import CancellationReason, TransactWriteError, VerboseClientError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from store import transactions
from store.job_request import JobRequest
from store.table import Table
from table_in_memory import TableInMemory

Key = tuple[str, str]


class TransactionsInMemory:
    """What takes the place of pynamodb's transactions. `records` tells, by their kind, where those
    are that are no jobs."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        jobs: TableInMemory,
        records: dict[type[Table], Any],
    ) -> None:
        self.jobs = jobs
        self.records = records
        monkeypatch.setattr(transactions, "TransactWrite", lambda connection: _Transaction(self))

    def of(self, kind: type[Table]) -> Any:
        """Return where the records of a kind are."""
        return self.jobs if kind is JobRequest else self.records[kind]


class _Write(NamedTuple):
    where: Any
    how: str
    key: Any
    content: Any
    condition: Condition | None

    def holds(self) -> bool:
        return self.condition is None or self.where.holds(self.condition, self.key)

    def apply(self) -> None:
        match self.how:
            case "delete":
                self.where.delete(self.key)
            case "put":
                self.where.put(self.content)
            case "change":
                self.where.change(self.key, self.content)


class _Transaction:
    """One transaction. Its writes are in the order in which pynamodb sends them."""

    def __init__(self, memory: TransactionsInMemory) -> None:
        self._memory = memory
        self._writes: dict[str, list[_Write]] = {
            how: [] for how in ("check", "delete", "put", "change")
        }

    def condition_check(self, kind: type[Table], *key: str, condition: Condition) -> None:
        """Check a condition."""
        at = key[0] if kind is JobRequest else key
        self._writes["check"].append(_Write(self._memory.of(kind), "check", at, None, condition))

    def delete(self, record: Table, condition: Condition | None) -> None:
        """Delete a record."""
        self._add("delete", record, None, condition)

    def save(self, record: Table, condition: Condition | None) -> None:
        """Put a record."""
        self._add("put", record, record, condition)

    def update(self, record: Table, actions: list[Action], condition: Condition | None) -> None:
        """Change a record."""
        self._add("change", record, actions, condition)

    def _add(self, how: str, record: Any, content: Any, condition: Condition | None) -> None:
        key = record.id if isinstance(record, JobRequest) else (record.pk, record.sk)
        where = self._memory.of(type(record))
        self._writes[how].append(_Write(where, how, key, content, condition))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._memory.jobs.on_call("TransactWriteItems")
        writes = [each for of_a_kind in self._writes.values() for each in of_a_kind]
        held = [each.holds() for each in writes]
        if not all(held):
            refused = CancellationReason(code="ConditionalCheckFailed")
            reasons = [None if each else refused for each in held]
            answer: Any = {
                "Error": {"Code": "TransactionCanceledException", "Message": "it does not"},
                "CancellationReasons": [
                    {"Code": each.code if each else "None"} for each in reasons
                ],
            }
            error = VerboseClientError(answer, "TransactWriteItems", cancellation_reasons=reasons)
            raise TransactWriteError("refused", error)
        for each in writes:
            each.apply()
