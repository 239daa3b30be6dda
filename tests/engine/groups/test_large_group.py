"""A large group: each member counts once, the job continues once, and its memory is bounded."""

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

import pytest

from bench import Bench
from gathering_job import Gathering, items
from job_runners.engine.settling import group_ends
from job_runners.store import group_chunks, queries
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing import moto_direct
from job_runners.work import Member, gathering
from sample_work import Sample, script
from sizes import by_size


class Counted(dict[str, Any]):
    """A payload. `most` is how many have existed at a time."""

    number = most = 0

    def __init__(self, number: int) -> None:
        super().__init__(number=number)
        Counted.number += 1
        Counted.most = max(Counted.most, Counted.number)

    def __del__(self) -> None:
        Counted.number -= 1


class Large(Gathering):
    """A job that gathers many members. Each one in `every` fails, and some processes die."""

    def __init__(self, bench: Bench, number: int) -> None:
        super().__init__(bench, 0)
        self.number = number
        self.every = 50 if number > 1_000 else 4
        self.runs: Counter[str] = Counter()  # of each member, by its id
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []  # the keys of results that aren't those of their member
        self.rows: WeakSet[JobRequest] = WeakSet()
        self.most_rows = 0

    def fails_at(self, index: int) -> bool:
        """Return whether a member fails."""
        return index % self.every == 0

    def dies_after(self, index: int) -> bool:
        """Return whether the process that ends a member dies before it records that in the group.

        Some of these members have failed, and others have succeeded.
        """
        return index // self.every % 2 == 1 and index % self.every < 2

    def work(self, job: Any, payload: Sample) -> Any:
        """Do the work of the parent or of a member."""
        if payload.text != "parent":
            self.runs[job.id] += 1
            if self.fails_at(payload.number):
                raise ValueError("no luck")
            return {"twice": 2 * payload.number}
        results = job.gather("all", self._members())
        self.counts.append((results.total, results.failed))
        for index, each in enumerate(results):
            self.most_rows = max(self.most_rows, len(self.rows))
            self.outcomes[each.status] += 1
            value = None if self.fails_at(index) else {"twice": 2 * (index % 1000)}
            if (each.key, each.value) != (f"{index:06d}", value):
                self.wrong.append(each.key)
        return None

    def _members(self) -> Iterator[Member]:
        return (Member("sample_once", Counted(index % 1000)) for index in range(self.number))


def test_each_member_counts_once_and_the_job_continues_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = by_size(24, 300, 100_000)
    if number < group_chunks.SIZE:
        monkeypatch.setattr(group_chunks, "SIZE", 5)
        monkeypatch.setattr(gathering, "_PAGE_SIZE", 2)
    # pytest would keep every line.
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)
    monkeypatch.setattr(Counted, "most", 0)
    large = Large(bench, number)
    script.job = large.work
    large.start()
    assert large.group.shards == 8
    assert len({row["pk"] for row in moto_direct.rows("coordination")}) > 4
    members = {large.group.member_id(f"{index:06d}"): index for index in range(number)}
    killed = _kill(monkeypatch, large, members)

    bench.run_out()
    assert large.runs == dict.fromkeys(members, 1)
    assert len(items("chunk#")) == -(-number // group_chunks.SIZE)
    assert len(items("open#")) == len(killed) == sum(map(large.dies_after, range(number)))
    assert large.read().status is Status.WAITING  # for the members whose processes died

    bench.advance(60)
    bench.tick()
    assert items("open#") == []
    assert bench.sent_jobs == [large.row.id]
    _watch_rows(monkeypatch, large)
    bench.run_out()
    assert large.read().status is Status.SUCCEEDED
    failed = sum(map(large.fails_at, range(number)))
    assert large.counts == [(number, failed)]
    assert large.outcomes == {"succeeded": number - failed, "failed": failed}
    assert (large.wrong, large.runs.total()) == ([], number)

    assert Counted.most <= 2 * group_chunks.SIZE + 1
    assert 0 < large.most_rows <= gathering._PAGE_SIZE


def _kill(
    monkeypatch: pytest.MonkeyPatch, large: Large, members: dict[str, int]
) -> list[JobRequest]:
    """Let processes die after they have ended a member. Return the rows of these members."""
    ended, killed = group_ends.record_member_end, []

    def record_member_end(row: JobRequest, *rest: Any) -> None:
        if large.dies_after(members[row.id]):
            killed.append(row)
        else:
            ended(row, *rest)

    monkeypatch.setattr(group_ends, "record_member_end", record_member_end)
    return killed


def _watch_rows(monkeypatch: pytest.MonkeyPatch, large: Large) -> None:
    """Let `large` know the rows that are read many at a time, as long as they exist."""
    read_many = queries.read_many

    def watched(*arguments: Any, **more: Any) -> dict[str, JobRequest]:
        rows = read_many(*arguments, **more)
        large.rows.update(rows.values())
        return rows

    monkeypatch.setattr(queries, "read_many", watched)
