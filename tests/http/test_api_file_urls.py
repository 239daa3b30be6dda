"""Files in a job's result: which get a URL, and what it is good for."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

import job_rows
from api_events import call
from job_runners import clock
from job_runners.aws import clients
from job_runners.store import blobs, queries, transitions
from job_runners.store.job_request import JobRequest
from job_runners.testing.aws import ENVIRONMENT

pytestmark = pytest.mark.usefixtures("aws")


def claimed(organization_id: str = "acme") -> JobRequest:
    row = transitions.save(
        transitions.NewJob(
            job_type="sample_once",
            queue_name="default",
            organization_id=organization_id,
            payload={"number": 1},
            max_attempts=1,
        )
    ).after
    return job_rows.claimed(row, clock.now() + clock.MINUTE)


def shown_result(row: JobRequest) -> Any:
    answer = call("GET", f"/jobs/{row.id}")
    assert answer.status == 200, answer.text
    return answer.json["result"]


def test_a_file_in_a_result_gets_a_url_that_reads_it() -> None:
    row = claimed()
    key = f"{row.result_folder}/rejected rows é.csv"
    clients.client("s3").put_object(Bucket=ENVIRONMENT["BUCKET_NAME"], Key=key, Body=b"cell,why\n")
    before = clock.now()
    transitions.succeed(row, {"rejected": {"file": key, "rows": 3}, "parts": [{"file": key}]})
    result = shown_result(row)
    rejected = result["rejected"]
    assert (rejected["file"], rejected["rows"]) == (key, 3)
    assert result["parts"][0]["url"]
    assert rejected["url_expires_at"] >= clock.iso(before + 5 * clock.MINUTE)
    query = parse_qs(urlsplit(rejected["url"]).query)
    assert query["X-Amz-Expires"] == ["300"]
    response = requests.get(rejected["url"], timeout=60)
    assert response.content == b"cell,why\n"
    disposition = response.headers["content-disposition"]
    assert disposition == "attachment; filename*=UTF-8''rejected%20rows%20%C3%A9.csv"


def test_a_url_is_minted_anew_each_time_and_never_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    row = claimed()
    transitions.succeed(
        row, {"file": f"{row.result_folder}/a.csv", "url": "https://elsewhere.test"}
    )
    first = shown_result(row)
    later = clock.now() + clock.HOUR
    monkeypatch.setattr(clock, "now", lambda: later)
    second = shown_result(row)
    assert "elsewhere" not in first["url"]
    assert second["url_expires_at"] > first["url_expires_at"]
    stored = queries.read(row.id)
    assert stored is not None
    assert blobs.get(stored.result, stored.result_key)["url"] == "https://elsewhere.test"


def test_no_other_file_gets_a_url() -> None:
    row = claimed()
    keys: list[Any] = [
        f"results/theirs/{row.created_key}/a.csv",
        f"results/acme/../theirs/{row.created_key}/a.csv",
        f"results/acme/theirs/{row.created_key}/a.csv",  # of an organisation named acme/theirs
        f"results/acme/{row.created_key}",
        f"results/acme/{row.created_key}/",
        "results/acme",
        f"results/acmes/{row.created_key}/a.csv",
        f"Results/acme/{row.created_key}/a.csv",
        f"/results/acme/{row.created_key}/a.csv",
        "uploads/acme/a.csv",
        f"payloads/{row.created_key}/a",
        f"partial/{row.created_key}/a",
        "",
        7,
        None,
        [f"results/acme/{row.created_key}/a.csv"],
    ]
    files = [{"file": key} for key in keys]
    foreign = {"url": "https://evil.example/a.csv", "url_expires_at": "2030-01-01T00:00:00.000Z"}
    transitions.succeed(row, [each | foreign for each in files])
    shown = [each if isinstance(each["file"], str) else each | foreign for each in files]
    assert shown_result(row) == shown


def test_an_organisation_whose_name_is_a_pattern_gets_no_others_files() -> None:
    row = claimed(organization_id=".*")
    transitions.succeed(row, {"file": f"results/acme/{row.created_key}/a.csv"})
    assert "url" not in shown_result(row)
