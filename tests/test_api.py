"""The API's routes: what each takes, and what it answers."""

import pytest

from api_events import call

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture(autouse=True)
def samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTENSIONS", "sample_work")


def test_a_job_is_accepted_runs_and_can_be_read() -> None:
    answer = call("POST", "/jobs", body={"job_type": "sample_once", "payload": {"number": 3}})
    assert answer.status == 202
    assert answer.headers["location"] == f"/jobs/{answer.json['id']}"
    job = call("GET", answer.headers["location"])
    assert job.status == 200
    assert job.json["status"] == "succeeded"
    assert job.json["result"] == {"number": 1}


def test_a_task_is_sent() -> None:
    answer = call("POST", "/tasks", body={"task_name": "sample_note", "payload": {"text": "hi"}})
    assert answer.status == 202
