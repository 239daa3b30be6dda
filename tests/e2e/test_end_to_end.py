"""The whole path on the local AWS: API Gateway, the functions as built, tables, bucket, queues."""

import csv
import io
import json
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from following import CAMPAIGN, ORGANIZATION, contacts, follow, run_job
from hostile_files import Expected, write_contacts
from job_runners.local.supervisor import signer
from local_stack import Local
from stack_clients import StackApi, session

pytestmark = pytest.mark.e2e

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
    key = f"uploads/{ORGANIZATION}/contacts.csv"
    s3 = session(local.stack).client("s3", endpoint_url=local.stack.endpoint_url)
    s3.upload_file(str(file), local.stack.bucket_name, key)
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
    assert _until(lambda: _texts(local).count(text)) == 1


def _texts(local: Local) -> list[str]:
    """Every text that the local AWS was asked to send."""
    api = StackApi(local.stack.endpoint_url, signer(local.stack))
    numbers = api.get("/_ministack/sns/sms-messages").json["sms_messages"]
    return [str(text["Message"]) for sent in numbers.values() for text in sent]


def _until(look: Any) -> Any:
    """Return what `look` returns once that is true of something, or at the end of our patience."""
    deadline = time.monotonic() + PATIENCE
    while not (seen := look()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return seen


# --- what is lost is found --------------------------------------------------------------------


def test_a_job_whose_invoke_failed_is_accepted_and_sent_by_the_timer(local: Local) -> None:
    with _api_without_worker(local):
        answer = local.api.post("/jobs", _export())
    assert answer.status == 202
    assert local.api.get(f"/jobs/{answer.json['id']}").json["status"] == "queued"
    assert local.make_due(answer.json["id"])
    local.tick()
    assert follow(local.api, answer.json["id"])["status"] == "succeeded"


def test_a_task_whose_invoke_failed_is_refused(local: Local) -> None:
    payload = {"cell": "+12125550123", "text": "Polls close at 8."}
    with _api_without_worker(local):
        answer = local.api.post("/tasks", {"task_name": "send_message", "payload": payload})
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0


def test_a_delayed_message_reaches_the_worker_through_the_timer(local: Local) -> None:
    with _api_without_worker(local):
        job = local.api.post("/jobs", _export()).json
    message = {
        "v": 1,
        "kind": "job",
        "id": job["id"],
        "send_id": uuid.uuid4().hex,
        "job_type": job["job_type"],
        "queue_name": job["queue_name"],
        "request_id": None,
    }
    sqs = session(local.stack).client("sqs", endpoint_url=local.stack.endpoint_url)
    sqs.send_message(
        QueueUrl=local.stack.delay_queue_url, MessageBody=json.dumps(message), DelaySeconds=1
    )
    assert follow(local.api, job["id"])["status"] == "succeeded"


def _export() -> dict[str, Any]:
    return {
        "job_type": "export_contacts",
        "organization_id": ORGANIZATION,
        "payload": {"campaign": f"campaign-{uuid.uuid4()}"},
    }


@contextmanager
def _api_without_worker(local: Local) -> Iterator[None]:
    """Yield the API sends to an alias that isn't there."""
    functions = session(local.stack).client("lambda", endpoint_url=local.stack.endpoint_url)
    name = next(
        each["FunctionName"]
        for each in functions.list_functions()["Functions"]
        if "ApiFunction" in each["FunctionName"]
    )
    before = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    alias = functions.get_alias(FunctionName=name, Name="live")
    missing = before["WORKER_LAMBDA_FUNCTION_NAME"].replace(":live", ":gone")
    changed = {**before, "WORKER_LAMBDA_FUNCTION_NAME": missing}
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": changed})
    version = functions.publish_version(FunctionName=name)["Version"]
    functions.update_alias(FunctionName=name, Name="live", FunctionVersion=version)
    try:
        yield
    finally:
        functions.update_alias(
            FunctionName=name, Name="live", FunctionVersion=alias["FunctionVersion"]
        )
        functions.update_function_configuration(
            FunctionName=name, Environment={"Variables": before}
        )


# --- the front door ---------------------------------------------------------------------------


def test_health_is_open_to_all(local: Local) -> None:
    assert local.api.get("/health", signed=False).status == 200


@pytest.mark.parametrize("path", ["/jobs?organization_id=default", "/job-types", "/nothing"])
def test_a_call_that_is_not_signed_is_refused_by_api_gateway(local: Local, path: str) -> None:
    assert local.api.get(path, signed=False).status == 403


def test_an_unknown_path_is_a_problem_and_not_a_crash(local: Local) -> None:
    answer = local.api.get("/nothing/here")
    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"\xff\xfe", 400),
        (b'{"job_type": NaN}', 400),
        (b"[" * 100_000, 400),
        (b'{"a":' + b"9" * 5_000 + b"}", 400),
        (b'{"job_type": "import_contact"}', 422),
        (b'{"job_type": "' + b"x" * 2_700_000 + b'"}', 413),
    ],
)
def test_a_bad_body_is_refused(local: Local, body: bytes, status: int) -> None:
    assert local.api.post("/jobs", body).status == status
