"""The jobs and the task of examples/campaign from a request to the files that they write."""

import csv
import io
import urllib.request
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from following import CAMPAIGN, ORGANIZATION, contacts, run_job
from hostile_files import Expected, write_contacts
from job_runners.local.supervisor import signer
from local_stack import Local
from stack_clients import StackApi
from supervised import until

# In `job-runners run`. This gives up the functions as they are built, and their permissions:
# test_policies_end_to_end.py runs the same jobs with both.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("local run")]

PATIENCE = 120  # seconds


@dataclass(frozen=True)
class Imported:
    """An import, once it is finished, and what it has to count."""

    job: dict[str, Any]
    expected: Expected


@pytest.fixture(scope="module")
def imported(local: Local, tmp_path_factory: pytest.TempPathFactory) -> Imported:
    """Return a file of 2,000 contacts, imported through the API."""
    file = tmp_path_factory.mktemp("sample") / "contacts.csv"
    expected = write_contacts(file, 2_000)
    key = local.upload("contacts.csv", file.read_bytes())
    return Imported(run_job(local.api, "import_contacts", {"key": key}), expected)


def download(url: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file behind a URL that needs no credentials."""
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        return list(csv.DictReader(io.StringIO(response.read().decode("utf-8-sig"), newline="")))


# --- jobs -------------------------------------------------------------------------------------


def test_an_import_over_http_counts_every_row_of_the_file(imported: Imported) -> None:
    assert imported.job["status"] == "succeeded", imported.job["error"]
    result = imported.job["result"]
    assert {name: result[name] for name in vars(imported.expected)} == vars(imported.expected)
    assert imported.job["progress"] == 100
    assert imported.job["attempt"] == 1


def test_rejected_rows_come_back_with_their_reasons(imported: Imported) -> None:
    rejected = download(imported.job["result"]["rejected"]["url"])
    reasons = Counter(row["reason"] for row in rejected)
    assert reasons["is not a valid phone number"] == imported.expected.invalid
    assert sum(reasons.values()) == imported.expected.invalid + imported.expected.repeated


def test_an_export_is_a_file_that_its_url_downloads(local: Local, imported: Imported) -> None:
    job = run_job(local.api, "export_contacts", {})
    assert job["status"] == "succeeded", job
    exported = download(job["result"]["url"])
    assert len(exported) == imported.expected.imported
    assert {row["cell"].lstrip("'") for row in exported} == {
        item["cell"]["S"] for item in contacts(local.stack, f"{ORGANIZATION}#{CAMPAIGN}")
    }


def test_a_job_that_fails_says_why(local: Local) -> None:
    missing = f"uploads/{ORGANIZATION}/missing.csv"
    job = run_job(local.api, "import_contacts", {"key": missing})
    assert job["status"] == "failed"
    assert missing in job["error"]["message"]


def test_jobs_are_listed_newest_first_page_by_page(local: Local, imported: Imported) -> None:
    job = run_job(local.api, "export_contacts", {})
    first = local.api.get(f"/jobs?organization_id={ORGANIZATION}&limit=1").json
    assert [each["id"] for each in first["jobs"]] == [job["id"]]
    second = local.api.get(
        f"/jobs?organization_id={ORGANIZATION}&limit=1&cursor={first['cursor']}"
    ).json
    assert [each["id"] for each in second["jobs"]] != [job["id"]]


# --- tasks ------------------------------------------------------------------------------------


def test_a_task_texts_a_phone_number(local: Local) -> None:
    text = f"Polls close at 8. {uuid.uuid4()}"
    payload = {"cell": "+12125550123", "text": text}
    answer = local.api.post("/tasks", {"task_name": "send_message", "payload": payload})
    assert answer.status == 202
    assert until(lambda: _texts(local).count(text)) == 1


def _texts(local: Local) -> list[str]:
    """Return every text message that the local AWS was asked to send."""
    api = StackApi(local.stack.endpoint_url, signer(local.stack))
    numbers = api.get("/_local/sms-messages").json["sms_messages"]
    return [text for texts in numbers.values() for text in texts]
