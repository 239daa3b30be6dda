"""Pauses and changed limits that another process has just written, where this one has read before.

The API runs in many processes, and each keeps what it has read for 10 seconds. A caller's next
request may go to another process.
"""

from typing import Any

import pytest

from api_events import call
from busy_queues import got
from fake_lambda import FakeLambda
from job_runners import clock
from job_runners.store import limits, pauses
from other_process import other_process

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture(autouse=True)
def read_before(worker: FakeLambda) -> None:
    """Let this process have read that nothing is paused and that no limits are changed."""
    assert (list(pauses.current().all), dict(limits.current())) == ([], {})


def elsewhere(method: str, path: str, body: Any = None) -> Any:
    with other_process():
        answer = call(method, path, body=body)
    assert answer.status in (200, 204), answer.text
    return answer.json if answer.text else None


def test_a_pause_is_listed() -> None:
    elsewhere("PUT", "/paused/queue/default")
    assert [each["name"] for each in got("/paused")["paused"]] == ["default"]


def test_a_pause_is_not_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first = elsewhere("PUT", "/paused/queue/default")
    later = clock.now() + clock.SECOND
    monkeypatch.setattr(clock, "now", lambda: later)
    assert call("PUT", "/paused/queue/default").json == first


def test_a_pause_is_ended() -> None:
    elsewhere("PUT", "/paused/queue/default")
    assert call("DELETE", "/paused/queue/default").status == 204
    assert got("/paused")["paused"] == []


def test_a_queue_shows_its_pause_and_its_limits() -> None:
    elsewhere("PUT", "/paused/queue/slow")
    elsewhere("PUT", "/queues/slow", {"slots": 2})
    found = got("/queues/slow")
    assert (found["limits"]["slots"], found["paused"]["name"]) == (2, "slow")


def test_wider_limits_ask_for_a_sweep() -> None:
    elsewhere("PUT", "/queues/slow", {"slots": 1})
    call("PUT", "/queues/slow", body={"slots": 3})
    assert limits.current(fresh=True)["slow"].sweep_from == ""


def test_limits_are_reset() -> None:
    elsewhere("PUT", "/queues/slow", {"slots": 1})
    assert call("DELETE", "/queues/slow").status == 204
    assert got("/queues/slow")["limits"] is None
