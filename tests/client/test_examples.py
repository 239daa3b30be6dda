"""The applications of examples/ against the real API: what their users get, on bad days too."""

import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, Field

import sample_work
from api_server import ApiServer
from bad_server import BadServer, answer
from example_apps import EXAMPLES, FastApiApp
from job_runners import Client, __version__
from job_runners.places import ROOT
from job_runners.work import Job, RunningJob

NOWHERE = "http://127.0.0.1:9"  # nobody listens there


def others_job(url: str) -> str:
    """Return the id of a job that no example has started."""
    return Client(url=url).dispatch("sample_once").id


def others_export(url: str) -> str:
    """Return the id of another organization's export."""
    client = Client(url=url, organization_id="another")
    return client.dispatch("export_contacts", {"campaign": "spring"}).id


class Export(BaseModel):
    campaign: str = Field(min_length=1, max_length=128)


def export(job: RunningJob, payload: Export) -> dict[str, Any]:
    """Write a file, as the job of the same name in examples/campaign does."""
    key = job.write_file(job.result_file("contacts.csv"), payload.campaign.encode())
    return {"file": key, "rows": 0}


@pytest.fixture(autouse=True)
def stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setitem(sample_work.JOBS, "export_contacts", Job(export))


# --- FastAPI --------------------------------------------------------------------------------------


@pytest.fixture
def fastapi(
    api_server: ApiServer,
    fastapi_app: Callable[[], FastApiApp],
    monkeypatch: pytest.MonkeyPatch,
) -> FastApiApp:
    monkeypatch.setenv("JOB_RUNNERS_URL", api_server.url)
    return fastapi_app()


def test_fastapi_starts_an_export_and_shows_its_file(fastapi: FastApiApp) -> None:
    status, started = fastapi.call("POST", "/exports", {"campaign": "spring"})
    assert (status, started["status"], started["url"]) == (202, "queued", None)
    status, export = fastapi.call("GET", f"/exports/{started['id']}")
    assert (status, export["status"], export["progress"]) == (200, "succeeded", 100)
    assert "contacts.csv" in export["url"]


def test_the_same_request_to_fastapi_is_one_export(fastapi: FastApiApp) -> None:
    first, again, other = (
        fastapi.call("POST", "/exports", {"campaign": "spring"}, key)[1]["id"]
        for key in ("k-1", "k-1", "k-2")
    )
    assert first == again != other
    status, _ = fastapi.call("POST", "/exports", {"campaign": "autumn"}, "k-1")
    assert status == 409


@pytest.mark.parametrize("body", [{}, {"campaign": ""}, {"campaign": "x" * 2000}])
def test_what_can_be_no_export_is_refused_by_fastapi(
    body: dict[str, str], fastapi: FastApiApp
) -> None:
    assert fastapi.call("POST", "/exports", body)[0] == 422


@pytest.mark.parametrize("name", ["0" * 32, "..", "a%2Fb"])
def test_fastapi_shows_no_export_that_is_not_there(name: str, fastapi: FastApiApp) -> None:
    assert fastapi.call("GET", f"/exports/{name}")[0] in (404, 422)


def test_fastapi_shows_no_other_job(fastapi: FastApiApp, api_server: ApiServer) -> None:
    assert fastapi.call("GET", f"/exports/{others_job(api_server.url)}")[0] == 404


def test_fastapi_shows_no_export_of_another_organization(
    fastapi: FastApiApp, api_server: ApiServer
) -> None:
    assert fastapi.call("GET", f"/exports/{others_export(api_server.url)}")[0] == 404


def test_fastapi_says_that_the_api_is_away(
    fastapi_app: Callable[[], FastApiApp], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOB_RUNNERS_URL", NOWHERE)
    status, answer = fastapi_app().call("POST", "/exports", {"campaign": "spring"}, "k-1")
    assert (status, answer["detail"]) == (503, "Try again, with the same Idempotency-Key.")


def test_fastapi_waits_for_no_retry_after(
    fastapi_app: Callable[[], FastApiApp], server: BadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.then = answer(429, {"status": 429}, Retry_After="30")
    monkeypatch.setenv("JOB_RUNNERS_URL", server.url)
    began = time.monotonic()
    assert fastapi_app().call("POST", "/exports", {"campaign": "spring"})[0] == 503
    assert (len(server.seen), time.monotonic() - began < 29) == (1, True)


# --- all ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fastapi_app", "second_lambda"])
def test_an_example_requires_the_wheel_that_make_wheel_builds(name: str) -> None:
    lines = (EXAMPLES / name / "requirements.txt").read_text().splitlines()
    [wheel] = [each for each in lines if each.startswith("./")]
    assert wheel.startswith(f"./job_runners-{__version__}-py3-none-any.whl")


def test_the_templates_of_the_examples_are_in_order() -> None:
    templates = [*EXAMPLES.glob("*/template.yaml"), *EXAMPLES.glob("operations/*.yaml")]
    linted = subprocess.run(
        [ROOT / ".venv-aws/bin/cfn-lint", *templates],
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout
