"""An import hears within seconds that it was cancelled, whatever its file holds."""

import json
from typing import Any

import pytest

from contacts_table import ANN, HEADER, KEY
from job_runners.aws import bucket, clients
from job_runners.shipped.campaigns.importing import import_state
from job_runners.shipped.jobs.import_contacts import ImportContacts, import_contacts
from recording_job import RecordingJob

pytestmark = pytest.mark.usefixtures("aws")

MB = 1024 * 1024
HOSTILE = {
    "empty lines": HEADER + "\n" * 2 * MB,
    "other empty lines": HEADER + "\r\n" * MB,
    "rows without any value": HEADER + ",,\n" * (MB // 2),
    "quoted nothing": HEADER + '"",,""\n' * (MB // 4),
    "one value a row": HEADER + "x\n" * 20_000,
    "wide rows": f"{HEADER[:-1]}{',c' * 997}\n" + f"{ANN[:-1]}{',' * 997}\n" * 500,
    "long names of columns": f"{HEADER[:-1]},{'x' * 60_000}\n"
    + "".join(f"A,B,212555{n:04},\n" for n in range(60)),
}


class Clocked(RecordingJob):
    """Notes at each checkpoint how much work has been done since the one before."""

    steps: list[tuple[int, int]]  # bytes of the file that were passed, bytes that were written

    def __init__(self) -> None:
        super().__init__()
        self.steps = []
        self.written = 0
        self._at = 0
        clients.client("dynamodb").meta.events.register(
            "before-send.dynamodb.BatchWriteItem", self._count
        )

    def _count(self, request: Any, **_: Any) -> None:
        self.written += len(request.body)

    def checkpoint(self, cursor: Any = None, **said: Any) -> None:
        super().checkpoint(cursor, **said)
        at = self.cursor["at"][0]
        self.steps.append((at - self._at, self.written))
        self._at, self.written = at, 0


@pytest.mark.parametrize("name", HOSTILE)
def test_between_two_checkpoints_only_so_much_is_read_and_written(name: str) -> None:
    file = HOSTILE[name].encode()
    bucket.put_bytes(KEY, file)
    job = Clocked()
    import_contacts(job, ImportContacts(key=KEY))
    read, written = (max(each) for each in zip(*job.steps, strict=True))
    most = import_state.CHUNK_BYTES
    assert job.cursor["at"][0] == len(file)
    # Up to one record more. Empty lines are one as far as a block of the file goes.
    longest = MB if "lines" in name else 64 * 1024
    assert read <= most + longest
    assert written <= 8 * most  # as DynamoDB's JSON
    assert len(json.dumps(job.cursor)) < 2000


def test_writing_the_file_of_rejected_rows_is_reported_too() -> None:
    bucket.put_bytes(KEY, (HEADER + "A,B,12\n" * 3000).encode())
    job = Clocked()
    import_contacts(job, ImportContacts(key=KEY))
    kept = len(job.cursor["rejected"])
    assert kept
    assert len(job.steps) == 3 + kept
