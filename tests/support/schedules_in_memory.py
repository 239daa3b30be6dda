"""Schedules as a dict, below pynamodb's calls, beside a jobs table that is one: what is due is read
and written as it is, its conditions are checked, and an occurrence's transaction is all or nothing.
"""

import bisect
from collections.abc import Iterable, Iterator, Sequence

import pytest
from botocore.exceptions import ClientError
from pynamodb.exceptions import UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from store import schedule_marks
from store.job_request import JobRequest
from store.schedule_marks import Mark
from store.schedules import Schedule
from table_in_memory import _REFUSED, Raw, TableInMemory, _method, _plain, changed
from transactions_in_memory import Key, TransactionsInMemory


class SchedulesInMemory:
    """Every schedule, and their due index. Requests are told to the jobs table's `on_call`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, jobs: TableInMemory) -> None:
        self.items: dict[Key, Raw] = {}
        self.jobs = jobs
        self._due: dict[str, list[tuple[int, Key]]] = {}
        self._attributes = {each.attr_name: each for each in Schedule.get_attributes().values()}
        monkeypatch.setattr(Schedule, "update", _method(self._update))
        monkeypatch.setattr(Schedule, "get", self._get)
        monkeypatch.setattr(Schedule, "batch_get", self._batch_get)
        monkeypatch.setattr(Schedule.due, "query", self._query)
        monkeypatch.setattr(JobRequest, "batch_get", self._batch_get_jobs)
        monkeypatch.setattr(schedule_marks, "marks", self._marks)
        self.transactions = TransactionsInMemory(monkeypatch, jobs, {Schedule: self})

    def _marks(self) -> list[Mark]:
        self.jobs.on_call("Query")
        return [Mark(sk="in use")] if self.items else []

    def _get(self, pk: str, sk: str, consistent_read: bool) -> Schedule:
        self.jobs.on_call("GetItem")
        assert consistent_read
        if (pk, sk) not in self.items:
            raise Schedule.DoesNotExist
        return self._schedule((pk, sk))

    def _batch_get(self, keys: Sequence[Key], consistent_read: bool) -> Iterator[Schedule]:
        self.jobs.on_call("BatchGetItem")
        assert consistent_read
        assert len(keys) <= 100
        return iter([self._schedule(key) for key in keys if key in self.items])

    def _batch_get_jobs(self, ids: Sequence[str], consistent_read: bool) -> Iterator[JobRequest]:
        if ids:  # for none pynamodb asks nobody
            self.jobs.on_call("BatchGetItem")
        assert len(ids) <= 100
        return iter([self.jobs.row(job_id) for job_id in ids if job_id in self.jobs.rows])

    def _query(self, shard: str, when: Condition, limit: int) -> Iterator[Schedule]:
        due = self._due.get(shard, [])
        found = due[: bisect.bisect_right(due, (_plain(when.values[1].value) + 1, ("", "")))]
        for _ in range(1 + len(found) // 5000):  # a page has a megabyte
            self.jobs.on_call("Query")
        for due_at, (pk, sk) in found[:limit]:
            yield Schedule(pk, sk, due_shard=shard, due_at=due_at)

    def _update(self, schedule: Schedule, actions: Sequence[Action], condition: Condition) -> None:
        self.jobs.on_call("UpdateItem")
        key = (schedule.pk, schedule.sk)
        if not self.holds(condition, key):
            raise UpdateError("refused", ClientError(_REFUSED, "UpdateItem"))
        self.change(key, actions)
        schedule.attribute_values = self._schedule(key).attribute_values

    def holds(self, condition: Condition, key: Key) -> bool:
        """Return whether a condition on a schedule holds."""
        return self.jobs._holds(condition, self.items.get(key, {}))

    def change(self, key: Key, actions: Iterable[Action]) -> None:
        """Change a schedule, or make it."""
        before = self.items.get(key, {})
        self.items[key] = after = changed(before or {"pk": key[0], "sk": key[1]}, actions)
        if "due_shard" in before:
            shard = self._due[before["due_shard"]]
            del shard[bisect.bisect_left(shard, (before["due_at"], key))]
        if "due_shard" in after:
            bisect.insort(self._due.setdefault(after["due_shard"], []), (after["due_at"], key))

    def _schedule(self, key: Key) -> Schedule:
        schedule = Schedule()
        for name, raw in self.items[key].items():
            schedule.attribute_values[name] = self._attributes[name].deserialize(raw)
        return schedule
