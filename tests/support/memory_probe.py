"""Runs a job over so many contacts with no AWS at all; prints its peak memory in KiB.

What it reads is made as it is asked for, what it writes goes to a folder: the memory is the job's.
"""

import io
import re
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from job_runners.aws import clients
from job_runners.shipped.campaigns.contact import Contact
from job_runners.shipped.campaigns.importing import import_state
from job_runners.shipped.jobs.assign_texters import AssignTexters, assign_texters
from job_runners.shipped.jobs.export_contacts import ExportContacts, export_contacts
from job_runners.shipped.jobs.import_contacts import ImportContacts, import_contacts
from job_runners.testing.aws import ENVIRONMENT
from job_runners.work.files import JobFiles

HEADER = b"first_name,last_name,cell,note\n"
ROW = "Ada,Lovelace,+1212{:07},{}\n"
NOTE = "x" * 2_000  # of an exported contact: a part of the file is full after some thousands
PAGE = 500  # contacts, 1 MB


class NoAws:
    """S3 with a contacts file of rows that are all of one length, and a folder for what is written;
    DynamoDB with as many contacts."""

    _request_signer = None  # which pynamodb asks for

    def __init__(self, rows: int, folder: Path) -> None:
        self._rows = rows
        self._folder = folder
        self._length = len(ROW.format(0, ""))
        self._size = len(HEADER) + rows * self._length

    def head_object(self, **_: Any) -> dict[str, Any]:
        return {"ContentLength": self._size, "ETag": "one"}

    def get_object(self, Key: str, Range: str = "", **_: Any) -> dict[str, Any]:  # noqa: N803
        if not Range:
            return {"Body": self._object(Key).open("rb")}
        start, end = (int(each) for each in re.findall(r"\d+", Range))
        return {"Body": io.BytesIO(self._bytes(start, end + 1))}

    def put_object(self, Key: str, Body: bytes, **_: Any) -> None:  # noqa: N803
        self._object(Key).write_bytes(Body)

    def create_multipart_upload(self, **_: Any) -> dict[str, Any]:
        return {"UploadId": "upload"}

    def upload_part(self, Body: bytes, PartNumber: int, **_: Any) -> dict[str, Any]:  # noqa: N803
        self._object(f"part {PartNumber}").write_bytes(Body)
        return {"ETag": '"part"'}

    def complete_multipart_upload(self, **_: Any) -> None:
        pass

    def batch_write_item(self, **_: Any) -> dict[str, Any]:
        return {}  # nothing is left over, and nothing kept

    def put_item(self, **_: Any) -> dict[str, Any]:
        return {}

    def _make_api_call(self, *_: Any) -> dict[str, Any]:
        return {}  # pynamodb's way in: it puts the name of the campaign

    def query(self, ExclusiveStartKey: int = 0, **_: Any) -> dict[str, Any]:  # noqa: N803
        end = min(self._rows, ExclusiveStartKey + PAGE)
        page = {"Items": [contact(row).serialize() for row in range(ExclusiveStartKey, end)]}
        return page | ({} if end == self._rows else {"LastEvaluatedKey": end})

    def _object(self, key: str) -> Path:
        return self._folder / key.replace("/", "_")

    def _bytes(self, start: int, end: int) -> bytes:
        first = max(0, start - len(HEADER)) // self._length
        last = max(0, end - len(HEADER)) // self._length
        rows = (ROW.format(2_000_000 + row, "") for row in range(first, last + 1))
        text = "".join(rows).encode()
        offset = len(HEADER) + first * self._length
        if start < len(HEADER):
            text, offset = HEADER + text, 0
        return text[start - offset : end - offset]


class Alone(JobFiles):
    """As much of a RunningJob as these jobs ask for."""

    id = "job"
    organization_id = "org"
    _row: Any = SimpleNamespace(
        organization_id="org", result_folder="results/org/job", work_folder="partial/job"
    )
    campaign_id = "campaign"
    cursor = None
    last_attempt = True

    def time_left(self) -> float:
        return 900

    def checkpoint(self, *_: Any, **__: Any) -> None:
        pass

    def gather(self, name: str, members: Any) -> list[Any]:
        return [SimpleNamespace(status="succeeded") for _ in members]


def contact(row: int) -> Contact:
    return Contact(
        organization_campaign="org#campaign",
        cell=f"+1212{2_000_000 + row}",
        first_name="Ada",
        last_name="Lovelace",
        custom_fields={"note": NOTE},
    )


def main(what: str, rows: int) -> None:
    job: Any = Alone()
    with tempfile.TemporaryDirectory() as folder:
        instead = NoAws(rows, Path(folder))
        with (
            patch.dict("os.environ", ENVIRONMENT),
            patch.object(clients, "client", lambda service: instead),
        ):
            if what in ("import", "check"):
                if what == "check":  # the rows of a large file, which other jobs write
                    import_state.LARGE_FILE = 0
                done = import_contacts(job, ImportContacts(key="uploads/org/contacts.csv"))
                assert done["imported"] == rows, done
            elif what == "assign":
                texters = [{"id": f"texter-{number}"} for number in range(50)]
                payload = AssignTexters.model_validate({"texters": texters})
                assert assign_texters(job, payload)["assigned"] == rows
            else:
                assert export_contacts(job, ExportContacts())["rows"] == rows
    # Not getrusage: that begins with the peak of whoever started this process.
    status = Path("/proc/self/status").read_text()
    sys.stdout.write(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
