"""A script of examples/operations brings rows back. Work continues as docs/operate/data.md says."""

import sys
from types import ModuleType
from typing import Any

import boto3
import pytest
from pydantic import BaseModel

from job_runners.testing.job_runner import InlineRunner, inline_runner
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.saved_jobs import SavedJobs
from job_runners.work import Job, Queue, Retry, RunningJob
from operator_files import run_script

TABLES = {"jobs": ["id"], "coordination": ["pk", "sk"]}


class Number(BaseModel):
    number: int = 0


class Backup:
    """Copies of the two tables, made and restored on the simulated AWS."""

    def __init__(self) -> None:
        self.dynamodb = boto3.client("dynamodb", region_name="us-east-1")

    def take(self) -> None:
        """Copy the tables, as a restore to this second does."""
        for name in TABLES:
            described = self.dynamodb.describe_table(TableName=name)["Table"]
            self.dynamodb.create_table(
                TableName=f"{name}-restored",
                KeySchema=described["KeySchema"],
                AttributeDefinitions=[
                    each
                    for each in described["AttributeDefinitions"]
                    if each["AttributeName"] in TABLES[name]
                ],
                BillingMode="PAY_PER_REQUEST",
            )
            for item in self._items(name):
                self.dynamodb.put_item(TableName=f"{name}-restored", Item=item)

    def lose_everything(self) -> None:
        """Delete all rows of both tables."""
        for name, key in TABLES.items():
            for item in self._items(name):
                self.dynamodb.delete_item(TableName=name, Key={each: item[each] for each in key})

    def restore(self, *, only_ended: bool) -> None:
        """Run the script for both tables."""
        for name in TABLES:
            options = [] if only_ended else ["--all"]
            run_script("copy_rows.py", f"{name}-restored", name, *options)

    def _items(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.dynamodb.scan(TableName=name)["Items"]
        return found


def _statuses() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for job in SavedJobs():  # in any order, if they were saved in the same millisecond
        found.setdefault(job.job_type, []).append(str(job.status))
    return {job_type: sorted(statuses) for job_type, statuses in found.items()}


def test_work_continues_after_both_tables_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    effects: list[int] = []

    def work(job: RunningJob, payload: Number) -> None:
        """Take the backup in the first run, while another job waits for this one's slot."""
        effects.append(payload.number)
        if payload.number == 1 and len(effects) == 2:
            job_runner.run_due()
            backup.take()

    table: Any = ModuleType("restored_jobs")
    again = Retry(max_attempts=2)
    table.JOBS = {
        "plain": Job(work, retry=again),
        "held": Job(work, retry=again),
        "limited": Job(work, queue_name="narrow", retry=again),
    }
    table.QUEUES = {"narrow": Queue(slots=1)}
    monkeypatch.setitem(sys.modules, "restored_jobs", table)
    clock = MovableClock()
    with inline_runner(clock, {"JOBS_PACKAGES": "restored_jobs"}) as job_runner:
        backup = Backup()
        job_runner.run("plain")
        job_runner.pause("held")
        job_runner.dispatch("held")
        job_runner.dispatch("limited", {"number": 1})
        job_runner.dispatch("limited", {"number": 2})
        job_runner.run_due()
        before = _statuses()
        assert before == {
            "plain": ["succeeded"],
            "held": ["waiting"],
            "limited": ["succeeded", "succeeded"],
        }

        backup.lose_everything()
        backup.restore(only_ended=True)
        assert _statuses() == {"plain": ["succeeded"]}
        backup.restore(only_ended=False)
        assert _statuses() == before | {"limited": ["running", "waiting"]}

        clock.advance(3600)
        _run_minutes(job_runner, clock, 5)
        assert _statuses() == before  # the pause was restored too
        assert sorted(effects) == [0, 1, 1, 2, 2]  # what was done since the backup is done again
        job_runner.resume("held")
        job_runner.drain()
        assert _statuses()["held"] == ["succeeded"]


def _run_minutes(job_runner: InlineRunner, clock: MovableClock, minutes: int) -> None:
    for _ in range(minutes):
        job_runner.run_due()
        clock.advance(60)
