"""What docs/build/files.md shows, run."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
import requests
import yaml
from fastapi import HTTPException

from job_runners.places import ROOT
from job_runners.testing.aws import ENVIRONMENT
from job_runners.testing.files import read_file, upload
from job_runners.testing.job_runner import InlineRunner, inline_runner
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.saved_jobs import assert_failed, assert_succeeded
from job_runners.work import Job
from recording_job import RecordingJob, Stopped
from shown_code import blocks, module

PAGE = (ROOT / "docs/build/files.md").read_text()
FILES, LINK, SIGNED = blocks(PAGE)
ORIGIN = "https://app.example.com"
IMPORT = """

def import_orders(job: RunningJob, payload: TextFile) -> str:
    return job.read_file(payload.file).decode()
"""
ORDERS = 'id,note\r\n1,plain\r\n2,"two\r\nlines"\r\n3,more\r\n'.encode("utf-8-sig")


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the page's jobs, and one that reads an upload."""
    guide = module("upload_jobs", FILES + IMPORT, monkeypatch)
    names = ("capitals", "count_lines", "import_orders")
    guide.JOBS = {name: Job(getattr(guide, name)) for name in names}
    return guide


@pytest.fixture
def job_runner(jobs: Any) -> Iterator[InlineRunner]:
    with inline_runner(MovableClock(), {"JOBS_PACKAGES": "upload_jobs"}) as runner:
        yield runner


@pytest.fixture
def app(job_runner: InlineRunner, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the page's application, with a client that only notes a dispatch."""
    monkeypatch.setenv("FILES_BUCKET", ENVIRONMENT["BUCKET_NAME"])
    with monkeypatch.context() as abroad:
        abroad.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        made = module("upload_app", LINK + SIGNED, monkeypatch)
    made.client = Mock(**{"dispatch.return_value.id": "j1"})
    return made


def test_a_browser_uploads_a_file_that_the_job_of_its_organization_reads(
    app: Any, jobs: Any, job_runner: InlineRunner
) -> None:
    form = app.sign_upload("acme")
    assert form["url"] == "https://bucket.s3.eu-west-1.amazonaws.com/"
    policy = json.loads(base64.b64decode(form["fields"]["policy"]))
    assert ["content-length-range", 1, app.LARGEST] in policy["conditions"]
    assert {"key": form["fields"]["key"]} in policy["conditions"]
    assert form["fields"]["x-amz-algorithm"] == "AWS4-HMAC-SHA256"
    sent = requests.post(form["url"], form["fields"], files={"file": ORDERS}, timeout=60)
    assert sent.status_code == 204
    assert app.start_job(app.UUID(form["id"]), "acme") == {"id": "j1"}
    (job_type, payload), given = app.client.dispatch.call_args
    assert given == {"organization_id": "acme", "idempotency_key": form["id"]}
    read = job_runner.run(job_type, payload, organization_id="acme")
    assert assert_succeeded(read) == ORDERS.decode()
    other = job_runner.run(job_type, payload, organization_id="other")
    assert assert_failed(other).kind == "FileRefused"


def test_the_lines_of_the_page_add_cors_to_the_bucket() -> None:
    (lines,) = blocks(PAGE, "yaml")
    name, properties, *rule = lines.splitlines(keepends=True)
    template = (ROOT / "template.yaml").read_text()
    bucket = re.findall(rf"^{name}.*?(?=^  \w)", template, re.DOTALL | re.MULTILINE)[0]
    changed = bucket.replace(properties, properties + "".join(rule), 1)
    before, after = (
        yaml.safe_load(re.sub(r"!Ref ", "", each))["Bucket"]["Properties"]
        for each in (bucket, changed)
    )
    assert after.pop("CorsConfiguration") == {
        "CorsRules": [{"AllowedMethods": ["POST"], "AllowedOrigins": [ORIGIN]}]
    }
    assert after == before


def test_a_job_reads_and_writes_files(jobs: Any, job_runner: InlineRunner) -> None:
    result = assert_succeeded(
        job_runner.run("capitals", {"file": upload("names.txt", b"Ada\nGrace\n")})
    )
    assert read_file(result["file"]) == b"ADA\nGRACE\n"
    text = jobs.TextFile(file=upload("rows.txt", b"row\n" * 5, organization_id="acme"))
    first = RecordingJob(stop_at=2)
    with pytest.raises(Stopped):
        jobs.count_lines(first, text)
    assert jobs.count_lines(RecordingJob(cursor=first.cursors[-1]), text) == {"lines": 5}


def test_a_lasting_link_leads_to_the_file_of_the_users_own_job(app: Any) -> None:
    app.client.get.return_value.get_result.return_value = {"file": "k", "url": "https://x/k?s=1"}
    app.client.get.return_value.organization_id = "acme"
    assert app.download("7", "acme").headers["location"] == "https://x/k?s=1"
    with pytest.raises(HTTPException):
        app.download("7", "another")
