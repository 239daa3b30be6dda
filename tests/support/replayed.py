"""A stack as a version has left it, under the code of the day."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import record_release
from job_runners import clock
from job_runners.aws import bucket, clients
from job_runners.engine.running import execution
from job_runners.engine.tick import timer
from job_runners.engine.wire.messages import Message, decode
from job_runners.store import queries
from job_runners.store.job_request import JobRequest
from job_runners.testing.aws import ENVIRONMENT
from job_runners.testing.plain_clients import full_client
from stored_state import read_tables, restore_objects, restore_tables


class Release:
    """A stack as a version left it, now under the code of the day, on a clock that is moved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = self.read("time")
        self.sent: list[tuple[Message, float]] = []

    def read(self, name: str) -> Any:
        """One of the recorded files."""
        return json.loads((self.folder / f"{name}.json").read_text())

    def restore(self) -> None:
        """Put the recorded items and objects where the stack keeps them."""
        restore_tables(clients.client("dynamodb"), ENVIRONMENT, self.read("tables"))
        restore_objects(clients.client("s3"), bucket.name(), self.read("objects"))

    def rows(self, name: str) -> list[JobRequest]:
        """Return the jobs that this was done with, its own first, then its children."""
        found = [queries.read(item["id"]["S"]) for item in self.items if name_of(item) == name]
        rows = [row for row in found if row is not None]
        return sorted(rows, key=lambda row: (row.parent_id or row.follow_up_of) is not None)

    def row(self, name: str) -> JobRequest:
        """Return the one job that this was done with."""
        return self.rows(name)[0]

    @property
    def items(self) -> list[Any]:
        """The recorded rows of jobs, as DynamoDB's JSON has them."""
        items: list[Any] = self.read("tables")["JOBS_TABLE_NAME"]
        return items

    def stored(self, variable: str) -> list[Any]:
        """Return the items of a table as they are now."""
        return read_tables(full_client("dynamodb"), ENVIRONMENT)[variable]

    def recorded_messages(self, kind: str, name: str | None) -> list[tuple[Message, float]]:
        """Return the messages of a kind that were on their way, with their delays."""
        recorded = [(json.loads(each["body"]), each["delay"]) for each in self.read("messages")]
        return [
            (decode(event), delay)
            for event, delay in recorded
            if (event["kind"], event.get("name")) == (kind, name)
        ]

    def send(self, message: Message, delay: float = 0) -> None:
        """Keep what is sent."""
        self.sent.append((message, delay))

    def deliver(self) -> None:
        """Run what was sent, and what that sends, in the order of its time."""
        while self.sent:
            message, delay = self.sent.pop(0)
            self.now += int(delay * 1000)
            execution.run(message, deadline=self.now + 900_000, send=self.send)

    def pass_time(self, minutes: int, *, every: int = 1) -> None:
        """Let the timer tick every so many minutes, and everything that it sends run."""
        for _ in range(0, minutes, every):
            timer.tick(self.send, until=self.now + clock.MINUTE)
            self.deliver()
            self.now += every * clock.MINUTE


@contextmanager
def replayed(folder: Path) -> Iterator[Release]:
    """Put what a folder has recorded into a stack on moto, on a clock that is moved."""
    found = Release(folder)
    with record_release.stack(lambda: found.now):
        found.restore()
        yield found


def name_of(item: Any) -> str:
    """Return what was done with a job, of its item: nothing, if a schedule started it."""
    return str(item.get("request_id", {"S": ""})["S"])
