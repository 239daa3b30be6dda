"""The uploads from a browser of docs/guides/files.md: what the page shows, run."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
import requests
import yaml
from playwright.sync_api import Browser, Route

from job_runners.places import ROOT
from job_runners.testing.aws import ENVIRONMENT
from job_runners.testing.files import upload
from job_runners.testing.job_runner import InlineRunner, inline_runner
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.saved_jobs import assert_failed, assert_succeeded
from job_runners.work import Job
from recording_job import RecordingJob, Stopped
from shown_code import blocks, module

PAGE = (ROOT / "docs/guides/files.md").read_text()
SECTION = PAGE.partition("## Uploads from a browser\n")[2].partition("\n## ")[0]
ORIGIN = "https://app.example.com"
ORDERS = 'id,note\r\n1,plain\r\n2,"two\r\nlines"\r\n3,more\r\n'.encode("utf-8-sig")


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the page's jobs, of which import_orders notes the rows that it saves."""
    guide = module("upload_jobs", blocks(PAGE)[0] + blocks(SECTION)[1], monkeypatch)
    guide.JOBS, guide.saved = {"import_orders": Job(guide.import_orders)}, []
    guide.save_order = guide.saved.append
    return guide


@pytest.fixture
def job_runner(jobs: Any) -> Iterator[InlineRunner]:
    with inline_runner(MovableClock(), {"PROJECT_PACKAGES": "upload_jobs"}) as runner:
        yield runner


@pytest.fixture
def app(job_runner: InlineRunner, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the page's application, with a client that only notes a dispatch."""
    monkeypatch.setenv("FILES_BUCKET", ENVIRONMENT["BUCKET_NAME"])
    with monkeypatch.context() as abroad:
        abroad.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        made = module("upload_app", blocks(PAGE)[2] + blocks(SECTION)[0], monkeypatch)
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
    assert_succeeded(job_runner.run(job_type, payload, organization_id="acme"))
    assert [row["id"] for row in jobs.saved] == ["1", "2", "3"]
    other = job_runner.run(job_type, payload, organization_id="other")
    assert assert_failed(other).kind == "FileRefused"


@pytest.mark.usefixtures("job_runner")
def test_the_import_continues_after_any_row(jobs: Any) -> None:
    file = jobs.TextFile(file=upload("orders.csv", ORDERS, organization_id="acme"))
    jobs.import_orders(RecordingJob(), file)
    whole = jobs.saved.copy()
    assert whole[1] == {"id": "2", "note": "two\r\nlines"}
    for rows in (1, 2):
        jobs.saved.clear()
        first = RecordingJob(stop_at=rows)
        with pytest.raises(Stopped):
            jobs.import_orders(first, file)
        jobs.import_orders(RecordingJob(cursor=first.cursors[-1]), file)
        assert jobs.saved == whole


def test_the_lines_of_the_page_add_cors_to_the_bucket() -> None:
    (lines,) = blocks(SECTION, "yaml")
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


@pytest.mark.more
def test_the_page_sends_the_fields_and_the_file_and_then_starts_the_job(browser: Browser) -> None:
    form = {"id": "u1", "url": "https://bucket.example/", "fields": {"key": "k", "policy": "p"}}
    calls: list[tuple[str, str]] = []

    def answer(route: Route) -> None:
        url = route.request.url
        if route.request.method == "POST":
            calls.append((url, (route.request.post_data_buffer or b"").decode()))
        if url == form["url"]:
            route.fulfill(status=204, headers={"Access-Control-Allow-Origin": ORIGIN})
        elif route.request.method == "POST":
            route.fulfill(json=form if url.endswith("/uploads") else {"id": "j1"})
        else:
            route.fulfill(body=blocks(SECTION, "html")[0], content_type="text/html")

    with browser.new_context() as context:
        page = context.new_page()
        page.route("**/*", answer)
        page.goto(f"{ORIGIN}/")
        file: Any = {"name": "a.csv", "mimeType": "text/csv", "buffer": ORDERS}
        with page.expect_console_message() as said:
            page.set_input_files("#file", file)
    assert said.value.text == "j1"
    urls = [f"{ORIGIN}/uploads", form["url"], f"{ORIGIN}/uploads/u1/job"]
    assert [url for url, _ in calls] == urls
    assert re.findall(r'name="(\w+)"', calls[1][1]) == ["key", "policy", "file"]
    assert ORDERS.decode() in calls[1][1]
