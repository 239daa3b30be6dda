"""A queue in which too many wait takes no more."""

from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

import sample_work
from api_events import call
from bench import Bench
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.control import caller_actions
from job_runners.engine.dispatch import full_queues
from job_runners.engine.dispatch.full_queues import refuse_if_full
from job_runners.engine.registry.registry import registry
from job_runners.errors import QueueFull
from job_runners.store.job_request import JobRequest, Status
from job_runners.store.limits import Limits
from job_runners.store.lines import count_waiting
from job_runners.testing import moto_direct
from job_runners.testing.aws import forget
from job_runners.work import Queue, Rate
from outage import Outage
from sample_work import script

pytestmark = pytest.mark.usefixtures("aws")

LINE = "line#mailings#acme"
LIMITS = Limits(slots=1, max_waiting=3)


def wait(count: int) -> None:
    client = clients.client("dynamodb")
    for number in range(count):
        sort_key = {"S": f"wait##{clock.now():015}{number:032}"}
        client.put_item(TableName="coordination", Item={"pk": {"S": LINE}, "sk": sort_key})
    for other in ("slot#001", "rate"):
        client.put_item(TableName="coordination", Item={"pk": {"S": LINE}, "sk": {"S": other}})


def full() -> bool:
    try:
        refuse_if_full("mailings", "acme", LIMITS)
    except QueueFull:
        return True
    return False


@pytest.mark.views
@pytest.mark.parametrize(("waiting", "most", "counted"), [(0, 3, 0), (2, 3, 2), (5, 3, 3)])
def test_only_those_that_wait_are_counted_up_to_what_matters(
    waiting: int, most: int, counted: int
) -> None:
    wait(waiting)
    assert count_waiting("mailings", "acme", most) == counted
    assert count_waiting("mailings", "other", most) == 0


@pytest.mark.views
def test_a_line_of_many_pages_is_counted() -> None:
    """A page of DynamoDB ends at 1 MB. Here each has one item."""
    wait(4)
    limits = []

    def one_at_a_time(params: dict[str, object], **_: object) -> None:
        limits.append(params["Limit"])
        params["Limit"] = 1

    events = clients.client("dynamodb").meta.events
    events.register("provide-client-params.dynamodb.Query", one_at_a_time)
    assert count_waiting("mailings", "acme", 3) == 3
    assert limits == [3, 2, 1]


def test_beyond_as_many_as_may_wait_a_job_is_refused() -> None:
    wait(2)
    assert not full()


@pytest.mark.views
def test_who_is_refused_is_told_how_many_wait() -> None:
    wait(3)
    with pytest.raises(QueueFull, match="Queue 'mailings' is full: 3 jobs are waiting") as refused:
        refuse_if_full("mailings", "acme", LIMITS)
    assert refused.value.queue_name == "mailings"
    refuse_if_full("mailings", "other", LIMITS)  # each key has a line of its own


def test_a_line_is_counted_once_in_ten_seconds(bench: Bench) -> None:
    assert not full()
    wait(3)
    bench.advance(5)
    assert not full()
    bench.advance(5)
    assert full()


def test_a_line_that_may_be_long_is_counted_less_often(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []

    def count(queue_name: str, key: str, most: int) -> int:
        counted.append(key)
        return 0

    monkeypatch.setattr(full_queues, "count_waiting", count)
    limits = Limits(max_waiting=100_000)
    for _ in range(20):
        refuse_if_full("mailings", "acme", limits)
        bench.advance(10)
    assert len(counted) == 2


def test_of_very_many_lines_not_all_are_remembered(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full_queues, "_MAX_CACHED", 2)
    counted: list[str] = []

    def count(queue_name: str, key: str, most: int) -> int:
        counted.append(key)
        return 0

    monkeypatch.setattr(full_queues, "count_waiting", count)
    for key in ("a", "b", "a", "b", "c", "c", "a"):
        refuse_if_full("mailings", key, LIMITS)
    assert counted == ["a", "b", "c", "a"]


@pytest.mark.parametrize("kind", ["throttled", "broken", "cut off"])
def test_a_line_that_can_not_be_counted_takes_jobs(outage: Outage, kind: str) -> None:
    """Whether a job may start is decided when it starts. Here it is only a matter of patience."""
    wait(3)
    outage.begin(kind, only="Query")
    assert not full()
    assert "Query" in outage.calls


# --- dispatched -----------------------------------------------------------------------------------


@pytest.fixture
def full_queue(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> JobRequest:
    """Have one job an hour started of each organisation, and let as many of acme wait as may.

    Return one that waits.
    """
    queue = Queue(rate=Rate(1, seconds=3600), per="organization_id", max_waiting=3)
    monkeypatch.setattr(sample_work, "QUEUES", {"mailings": queue}, raising=False)
    forget()
    rows = [bench.run(bench.dispatch(**MAILING, idempotency_key=str(n))) for n in range(4)]
    assert [row.status for row in rows] == [Status.SUCCEEDED, *[Status.WAITING] * 3]
    bench.advance(10)
    return rows[-1]


MAILING = {"queue_name": "mailings"}


def test_a_dispatch_into_a_full_queue_is_refused_and_saves_nothing(
    bench: Bench, full_queue: JobRequest
) -> None:
    with pytest.raises(QueueFull):
        bench.dispatch(**MAILING)
    assert len(moto_direct.rows("jobs")) == 4
    bench.dispatch(**MAILING, organization_id="other")
    bench.dispatch()


def test_the_same_request_again_is_answered_with_its_job(
    bench: Bench, full_queue: JobRequest
) -> None:
    assert bench.dispatch(**MAILING, idempotency_key="3").id == full_queue.id
    with pytest.raises(QueueFull):
        bench.dispatch(**MAILING, idempotency_key="new")


@pytest.mark.parametrize("several", [False, True])
def test_what_a_job_dispatches_is_taken(
    bench: Bench, full_queue: JobRequest, several: bool
) -> None:
    children: list[str] = []

    def parent(job: Any, payload: object) -> None:
        if several:
            children.extend(job.dispatch_many("sample_again", [("child", {})]).values())
        else:
            children.append(job.dispatch("sample_again", {}, key="child"))

    script.job = parent
    sample_again = sample_work.JOBS["sample_again"]
    in_queue = replace(sample_again, queue_name="mailings")
    with patch.dict(registry().jobs, sample_again=in_queue):
        assert bench.run(bench.dispatch("sample_once")).status is Status.SUCCEEDED
        with pytest.raises(QueueFull):
            bench.dispatch("sample_again")
    [child] = children
    assert bench.read(child).queue_name == "mailings"


def test_one_that_was_canceled_makes_room(bench: Bench, full_queue: JobRequest) -> None:
    caller_actions.cancel(full_queue)
    bench.advance(10)
    bench.dispatch(**MAILING)


def test_a_job_that_failed_is_retried_though_its_queue_is_full(
    bench: Bench, full_queue: JobRequest
) -> None:
    caller_actions.cancel(full_queue)
    bench.advance(2)  # the count may lag behind
    bench.run(bench.dispatch(**MAILING))
    again = caller_actions.retry_again(bench.read(full_queue), bench.send)
    assert again.status is Status.QUEUED


def test_retried_with_another_payload_it_is_in_the_line_of_that(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(rate=Rate(1, seconds=3600), per="text")
    monkeypatch.setattr(sample_work, "QUEUES", {"mailings": queue}, raising=False)
    forget()
    first, second = (bench.dispatch(**MAILING, payload={"text": "a"}) for _ in range(2))
    assert bench.run(first).status is Status.SUCCEEDED
    assert bench.run(second).status is Status.WAITING
    caller_actions.cancel(bench.read(second))
    caller_actions.retry_again(bench.read(second), bench.send, {"text": "b"})
    done = bench.run(second)
    assert (done.status, done.concurrency_key) == (Status.SUCCEEDED, "b")


def test_whether_a_queue_is_full_is_no_reason_to_fail_a_dispatch(
    bench: Bench, full_queue: JobRequest, outage: Outage
) -> None:
    bench.advance(10)
    outage.begin("throttled", only="Query")
    row = bench.dispatch(**MAILING)
    outage.end()
    assert bench.run(row).status is Status.WAITING  # its first message finds its line
    assert bench.read(row).concurrency_key == "acme"


def test_over_http_it_is_429_with_a_time_to_come_back(bench: Bench, full_queue: JobRequest) -> None:
    body = {"job_type": "sample_again", "organization_id": "acme", **MAILING}
    answer = call("POST", "/jobs", body=body)
    assert (answer.status, answer.headers["retry-after"]) == (429, "10")
    assert answer.json["type"] == "urn:job-runners:queue-full"
    assert "Queue 'mailings' is full: 3 jobs are waiting" in answer.json["detail"]
    replayed = call("POST", "/jobs", body=body, headers={"idempotency-key": "new"})
    assert replayed.status == 429


def test_what_waits_in_a_line_for_too_long_fails_and_says_why(
    bench: Bench, full_queue: JobRequest
) -> None:
    bench.advance(31 * 86_400)
    bench.tick()
    row = bench.read(full_queue)
    assert (row.status, row.error["kind"]) == (Status.FAILED, "PauseExpired")
    assert row.error["message"] == "The job waited 30 days for capacity in its queue."
