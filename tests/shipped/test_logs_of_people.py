"""Files and answers that hold people's names and numbers where none are expected: they get neither
into the log nor into the row."""

import io
import json
from typing import Any

import pytest

from contacts_table import KEY, keep
from fake_sns import answering_sns, refusal
from job_runners.aws import bucket
from job_runners.runners import get_job_runner
from job_runners.runners.base import JobData
from job_runners.shipped.campaigns.assignment import assign
from job_runners.store import queries
from job_runners.store.job_request import JobRequest, Status

pytestmark = pytest.mark.usefixtures("aws")

# Surnames among them that resemble a column's name: firstname, lastname, mobile.
PEOPLE = ("Zanzibarova", "Quixotella", "2125550187", "Firth", "Lasten", "Mobley", "1600555")
ANN = "Zanzibarova,Quixotella,+1 212 555 0187 / 2125550187\n"
HEADER = "first_name,last_name,cell\n"

HOSTILE: dict[str, tuple[bytes, Status]] = {
    "no header": (ANN.encode(), Status.FAILED),
    "no header, semicolons": (ANN.replace(",", ";").encode(), Status.FAILED),
    "no header, tabs": (ANN.replace(",", "\t").encode(), Status.FAILED),
    "no header, names like columns": (b"Firth,Lasten,Mobley,1600555\n" * 3, Status.FAILED),
    "no header, one column": (b"Zanzibarova 2125550187\nQuixotella\n", Status.FAILED),
    "an empty row, then no header": (f",,\n{ANN}".encode(), Status.FAILED),
    "people for columns": ((HEADER[:-1] + ",Firth" * 2000 + "\n").encode(), Status.FAILED),
    "a person too long for a column": (
        (HEADER[:-1] + ",Mobley" + "x" * 70_000 + "\n").encode(),
        Status.FAILED,
    ),
    "a quote left open": (f'{HEADER}{ANN}"{ANN}'.encode(), Status.FAILED),
    "a quote left open in the first row": (f'"{ANN}'.encode(), Status.FAILED),
    "a row without end": (f'{HEADER}"{ANN * 40_000}"\n'.encode(), Status.FAILED),
    "UTF-16": (ANN.encode("utf-16"), Status.FAILED),
    "rows of other widths": (f"{HEADER}Zanzibarova\n{ANN[:-1]},{ANN}".encode(), Status.SUCCEEDED),
    "no numbers": (f"{HEADER}Zanzibarova,Quixotella,1600555\n".encode(), Status.SUCCEEDED),
    "bytes of no encoding": (
        HEADER.encode() + b"Zanzibarova\x81\x00,\xff,2125550187\n",
        Status.SUCCEEDED,
    ),
    "twice the same": (
        f"{HEADER}Firth,Lasten,2125550187\n".encode() * 1 + b"Firth,Lasten,2125550187\n",
        Status.SUCCEEDED,
    ),
}


def outcome(job_type: str, payload: dict[str, Any]) -> JobRequest:
    data = JobData(job_type=job_type, payload=payload, organization_id="acme", campaign_id="spring")
    row = queries.read(get_job_runner().dispatch_job(data).id)
    assert row is not None
    return row


def assert_nobody_in(text: str) -> None:
    for person in PEOPLE:
        assert person.lower() not in text.lower()


@pytest.mark.parametrize("name", HOSTILE)
def test_no_person_of_a_file_gets_into_the_log_or_the_row(name: str, lines: io.StringIO) -> None:
    file, status = HOSTILE[name]
    bucket.put_bytes(KEY, file)
    row = outcome("import_contacts", {"key": KEY})
    assert row.status is status
    assert_nobody_in(lines.getvalue())
    assert_nobody_in(json.dumps([row.error, row.result_message, row.cursor]))


def test_no_number_that_sns_repeats_gets_into_the_log(lines: io.StringIO) -> None:
    keep(1)
    cell = "+12125550000"
    assign("acme#spring", cell, "ada", "run")
    sns = answering_sns()
    sns.answer = refusal(400, "InvalidParameter", f"PhoneNumber Reason: {cell} is not valid")
    outcome("send_first_messages", {"text": "Hi {first_name}"})
    assert len(sns.sent) == 1
    assert "SNS answered InvalidParameter" in lines.getvalue()
    assert cell[1:] not in lines.getvalue()
