"""The keys of unique work, and what requests were answered with, as a dict below pynamodb's calls:
they are read, and written in the transactions of jobs and schedules."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import pytest
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from schedules_in_memory import SchedulesInMemory
from store.answers import Answer
from store.table import Table
from store.uniqueness import KeyRecord
from table_in_memory import Raw, changed, plain_item
from transactions_in_memory import Key


class KeysInMemory:
    """Every key that a job has, and every answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, schedules: SchedulesInMemory) -> None:
        self.items: dict[Key, Raw] = {}
        self._jobs = schedules.jobs
        for kind in (KeyRecord, Answer):
            monkeypatch.setattr(kind, "get", partial(self._get, kind))
            schedules.transactions.records[kind] = self

    def held(self) -> dict[str, str]:
        """Return the keys that are taken, each with the `created_key` of the job that has it."""
        keys = {key: item for (key, sort), item in self.items.items() if sort == "holder"}
        return {key.removeprefix("unique#"): item["holder"] for key, item in keys.items()}

    def _get(self, kind: type[Any], pk: str, sk: str, consistent_read: bool) -> Table:
        self._jobs.on_call("GetItem")
        assert consistent_read
        if (pk, sk) not in self.items:
            raise kind.DoesNotExist
        record: Table = kind()
        for name, raw in self.items[pk, sk].items():
            record.attribute_values[name] = kind.get_attributes()[name].deserialize(raw)
        return record

    def holds(self, condition: Condition, key: Key) -> bool:
        """Return whether a condition on a record holds."""
        return self._jobs._holds(condition, self.items.get(key, {}))

    def put(self, record: Table) -> None:
        """Put a record, whatever there is."""
        item = plain_item(record)
        self.items[item["pk"], item["sk"]] = item

    def change(self, key: Key, actions: Iterable[Action]) -> None:
        """Change a record, or make it."""
        self.items[key] = changed(self.items.get(key) or {"pk": key[0], "sk": key[1]}, actions)

    def delete(self, key: Key) -> None:
        """Delete a record, if it is there."""
        self.items.pop(key, None)
