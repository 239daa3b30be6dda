"""GET /tasks/failed: what failed for good in the last week."""

import pytest

from api_events import call
from sample_work import script
from testing.aws import forget

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture(autouse=True)
def samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTENSIONS", "sample_work")
    script.reset()

    def fail(payload: object) -> None:
        raise ValueError("no luck")

    script.task = fail


def sent(text: str = "") -> str:
    """Send a task that fails; return its id."""
    body = {"task_name": "sample_note", "payload": {"text": text}}
    task_id: str = call("POST", "/tasks", body=body).json["id"]
    return task_id


def test_a_failed_task_is_listed_by_the_id_that_its_sender_was_told() -> None:
    task_id = sent("secret")
    answer = call("GET", "/tasks/failed")
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
    (task,) = call("GET", "/tasks/failed").json["tasks"]
    assert task["payload"] == {"text": "dear"}


def test_they_come_in_pages_each_once() -> None:
    ids = {sent() for _ in range(5)}
    seen: list[str] = []
    cursor = ""
    while True:
        query = f"limit=2{cursor}"
        page = call("GET", "/tasks/failed", query=query).json
        seen += [task["id"] for task in page["tasks"]]
        if page["cursor"] is None:
            break
        cursor = f"&cursor={page['cursor']}"
    assert sorted(seen) == sorted(ids)


def test_a_cursor_of_another_list_is_refused() -> None:
    assert call("GET", "/tasks/failed", query="cursor=abc").status == 400
