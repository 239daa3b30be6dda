"""GET /tasks/failed: what failed for good in the last week; and one of them sent again."""

import random

import pytest

from api_events import Answer, Logged, call
from job_runners.engine import configured
from job_runners.errors import SendFailed
from job_runners.store import failed_tasks
from job_runners.testing.aws import forget
from sample_work import script
from stale_reads import catch_up

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture(autouse=True)
def samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work")
    script.reset()

    def fail(payload: object) -> None:
        raise ValueError("no luck")

    script.task = fail


def sent(text: str = "") -> str:
    """Send a task that fails; return its id."""
    body = {"task_name": "sample_note", "payload": {"text": text}}
    task_id: str = call("POST", "/tasks", body=body).json["id"]
    return task_id


def listed(query: str = "") -> Answer:
    """Return a page of the list, which may lag behind, once it has caught up."""
    catch_up()
    return call("GET", "/tasks/failed", query=query)


def test_a_failed_task_is_listed_by_the_id_that_its_sender_was_told() -> None:
    task_id = sent("secret")
    answer = listed()
    assert answer.status == 200
    (task,) = answer.json["tasks"]
    assert (task["id"], task["task_name"], task["attempt"]) == (task_id, "sample_note", 1)
    assert task["error"] == {"kind": "ValueError", "message": "no luck"}
    assert (task["payload"], answer.json["cursor"]) == (None, None)
    assert "secret" not in answer.text


def test_its_payload_is_shown_where_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEP_TASK_PAYLOADS", "true")
    forget()
    sent("dear")
    (task,) = listed().json["tasks"]
    assert task["payload"] == {"text": "dear"}


def test_they_come_in_pages_each_once() -> None:
    ids = {sent() for _ in range(5)}
    seen: list[str] = []
    cursor = ""
    while True:
        query = f"limit=2{cursor}"
        page = listed(query).json
        seen += [task["id"] for task in page["tasks"]]
        if page["cursor"] is None:
            break
        cursor = f"&cursor={page['cursor']}"
    assert sorted(seen) == sorted(ids)


def test_a_page_is_no_larger_than_a_response_may_be() -> None:
    ids = {failed_tasks.new_task_id() for _ in range(70)}
    for task_id in ids:
        failed_tasks.record(
            task_id,
            task_name="sample_note",
            attempt=1,
            error_kind="ValueError",
            error_message="no luck",
            request_id=None,
            payload={"text": random.Random(task_id).randbytes(49_000).hex()},
        )
    first = listed("limit=100")
    assert len(first.text) < 6_000_000
    rest = listed(f"limit=100&cursor={first.json['cursor']}")
    assert {task["id"] for page in (first, rest) for task in page.json["tasks"]} == ids
    assert rest.json["cursor"] is None


def test_a_cursor_of_another_list_is_refused() -> None:
    assert listed("cursor=abc").status == 400


# --- sent again -----------------------------------------------------------------------------------


@pytest.fixture
def task_id(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the id of a failed task whose payload is kept, and that would not fail again."""
    monkeypatch.setenv("KEEP_TASK_PAYLOADS", "true")
    forget()
    task_id = sent("dear")
    script.reset()
    return task_id


def test_a_failed_task_is_sent_again_under_a_new_id(
    task_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = Logged(monkeypatch)
    answer = call("POST", f"/tasks/failed/{task_id}/redrive")
    assert answer.status == 202
    assert (answer.json["task_name"], answer.json["status"]) == ("sample_note", "sent")
    new_id = answer.json["id"]
    assert new_id != task_id
    assert [payload.text for payload in script.tasks_run] == ["dear"]
    assert listed().json["tasks"] == []
    (line,) = logged.lines("task redriven")
    assert (line["redrives"], line["task_id"], line["role"]) == (task_id, new_id, "service")
    again = call("POST", f"/tasks/failed/{task_id}/redrive")
    assert (again.status, again.json["type"]) == (404, "urn:job-runners:failed-task-not-found")
    assert len(script.tasks_run) == 1


def test_until_it_begins_it_is_listed_as_sent_again(
    task_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured, "sender", lambda: lambda message, delay=0: None)
    new_id = call("POST", f"/tasks/failed/{task_id}/redrive").json["id"]
    assert call("POST", f"/tasks/failed/{task_id}/redrive").json["id"] == new_id
    (task,) = listed().json["tasks"]
    assert (task["id"], task["redriven_as"]) == (task_id, new_id)
    assert task["redriven_at"] >= task["failed_at"]


def test_one_that_did_not_leave_is_said_to_be_still_there(
    task_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(message: object, delay: float = 0) -> None:
        raise SendFailed("it", "away")

    monkeypatch.setattr(configured, "sender", lambda: refuse)
    answer = call("POST", f"/tasks/failed/{task_id}/redrive")
    assert (answer.status, answer.json["type"]) == (503, "urn:job-runners:not-redriven")
    assert (
        "still listed. Resend it: even if it is sent twice, it runs once." in answer.json["detail"]
    )
    assert answer.headers["retry-after"]
    assert len(listed().json["tasks"]) == 1


def test_without_its_payload_it_is_refused_with_the_setting_to_change() -> None:
    answer = call("POST", f"/tasks/failed/{sent()}/redrive")
    assert (answer.status, answer.json["type"]) == (409, "urn:job-runners:payload-not-kept")
    assert "KeepTaskPayloads=true" in answer.json["detail"]
    assert len(listed().json["tasks"]) == 1


@pytest.mark.parametrize("unknown", ["0" * 32, "abc", "a%23b", "x" * 300])
def test_what_has_not_failed_can_not_be_sent_again(unknown: str) -> None:
    assert call("POST", f"/tasks/failed/{unknown}/redrive").status == 404
