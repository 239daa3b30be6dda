"""When a job may start, and the same request twice: what POST /jobs makes of it."""

import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from moto.dynamodb.models import DynamoDBBackend

from api_events import Answer, call
from fake_lambda import FakeLambda
from job_runners import clock
from job_runners.store import queries
from job_runners.store.job_request import JobRequest
from job_runners.testing import moto_direct
from job_runners.testing.plain_clients import full_client
from sample_work import script
from stale_reads import catch_up

pytestmark = pytest.mark.usefixtures("worker")

DAY = 24 * 3600


def post(headers: dict[str, str] | None = None, **fields: Any) -> Answer:
    return call("POST", "/jobs", body={"job_type": "sample_once", **fields}, headers=headers)


def refused(answer: Answer, field: str, why: str) -> None:
    assert answer.status == 422, answer.text
    [wrong] = answer.json["errors"]
    assert wrong["field"] == field
    assert why in wrong["why"]
    assert rows() == 0


def rows() -> int:
    return len(moto_direct.rows("jobs"))


def row_of(answer: Answer) -> JobRequest:
    row = queries.read(answer.json["id"])
    assert row is not None
    return row


def seconds_ahead(row: JobRequest) -> float:
    return ((row.run_at or 0) - clock.now()) / clock.SECOND


def at(seconds: float, zone: timezone = UTC) -> str:
    moment = datetime.fromtimestamp(clock.now() / 1000, zone) + timedelta(seconds=seconds)
    return moment.isoformat()


def in_delay_queue() -> int:
    """Return how many messages wait for their time."""
    sqs = full_client("sqs")
    [url] = sqs.list_queues()["QueueUrls"]
    name = "ApproximateNumberOfMessagesDelayed"
    count = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]
    return int(count)


# --- when it may start ----------------------------------------------------------------------------


def test_a_delay_schedules_a_job_through_the_delay_queue(worker: FakeLambda) -> None:
    answer = post(delay=100)
    assert (answer.status, answer.json["status"]) == (202, "scheduled")
    assert 98 < seconds_ahead(row_of(answer)) <= 100
    assert answer.headers["retry-after"] == "60"
    assert in_delay_queue() == 1
    assert worker.events == []


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30))])
def test_a_time_schedules_a_job(worker: FakeLambda, zone: timezone) -> None:
    answer = post(run_at=at(3600, zone))
    assert (answer.status, answer.json["status"]) == (202, "scheduled")
    assert 3598 < seconds_ahead(row_of(answer)) <= 3600
    assert answer.json["run_at"].endswith("Z")
    assert (in_delay_queue(), worker.events) == (0, [])  # it is for the timer to find
    assert row_of(answer).due_at == row_of(answer).run_at


def test_a_scheduled_job_is_asked_about_when_it_may_start() -> None:
    assert post(delay=20).headers["retry-after"] in ("19", "20")
    assert post(delay=1).headers["retry-after"] == "1"


@pytest.mark.parametrize(
    "when",
    [
        {"run_at": "2020-01-01T00:00:00Z"},
        {"run_at": "0001-01-01T00:00:00+14:00"},
        {"delay": 0},
        {"delay": 0.0001},
        {"delay": None, "run_at": None},
    ],
)
def test_what_may_start_now_starts_at_once(worker: FakeLambda, when: dict[str, Any]) -> None:
    answer = post(**when)
    assert (answer.status, answer.json["status"], answer.json["run_at"]) == (202, "queued", None)
    due_in = (row_of(answer).due_at or 0) - clock.now()
    assert 55 * clock.SECOND < due_in <= clock.MINUTE  # nobody sends it a second time before
    assert worker.deliver() == 1
    assert call("GET", f"/jobs/{answer.json['id']}").json["status"] == "succeeded"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("2027-05-04T09:30:00", "timezone"),
        ("2027-05-04", "timezone"),
        ("2027-05-44T09:30:00Z", "valid datetime"),
        ("tomorrow", "a time with a time zone"),
        ("", "a time with a time zone"),
        ("1800000000", "a time with a time zone"),
        (1_800_000_000, "a time with a time zone"),
        (1.5, "a time with a time zone"),
        (True, "a time with a time zone"),
        (["2027-05-04T09:30:00Z"], "valid datetime"),
    ],
)
def test_a_run_at_that_is_no_time_with_a_zone_is_refused(value: Any, why: str) -> None:
    refused(post(run_at=value), "run_at", why)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (-1, "greater than or equal to 0"),
        (-0.001, "greater than or equal to 0"),
        (30 * DAY + 1, "less than or equal to 2592000"),
        (1e300, "less than or equal to 2592000"),
        ("60", "valid number"),
        ("NaN", "valid number"),
        (True, "valid number"),
        ([60], "valid number"),
    ],
)
def test_a_delay_that_is_no_number_of_seconds_up_to_30_days_is_refused(
    value: Any, why: str
) -> None:
    refused(post(delay=value), "delay", why)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_delay_that_is_no_json_number_is_refused(text: str) -> None:
    answer = call("POST", "/jobs", raw=f'{{"job_type": "sample_once", "delay": {text}}}')
    assert answer.status == 400
    assert rows() == 0


def test_more_than_30_days_ahead_is_refused_and_30_days_are_not() -> None:
    refused(post(run_at=at(30 * DAY + 5)), "body", "at most 30 days")
    assert post(run_at=at(30 * DAY - 5)).status == 202
    assert post(delay=30 * DAY).status == 202


def test_a_time_and_a_delay_are_one_too_many() -> None:
    refused(post(run_at=at(60), delay=60), "body", "not both")


# --- the same request twice -----------------------------------------------------------------------


def replayed(answer: Answer) -> bool:
    assert answer.status == 202, answer.text
    return answer.headers.get("idempotent-replayed") == "true"


KEY = {"Idempotency-Key": "k"}
FIELD: dict[str, Any] = {"idempotency_key": "k"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"headers": KEY}, {"headers": KEY}),
        (FIELD, FIELD),
        ({"headers": KEY}, FIELD),
        (FIELD, {"headers": {"IDEMPOTENCY-KEY": "k"}}),
        ({"headers": KEY, **FIELD}, FIELD),
        ({"headers": KEY, "idempotency_key": None}, FIELD),
    ],
)
def test_the_same_request_under_the_same_key_is_one_job(
    worker: FakeLambda, first: dict[str, Any], second: dict[str, Any]
) -> None:
    made = post(payload={"number": 1, "text": "a"}, **first)
    again = post(payload={"text": "a", "number": 1}, **second)
    assert (replayed(made), replayed(again)) == (False, True)
    assert again.json["id"] == made.json["id"]
    assert again.headers["location"] == made.headers["location"]
    assert rows() == 1
    worker.deliver()
    assert len(script.jobs_run) == 1


def test_the_order_of_keys_makes_no_difference_at_any_depth() -> None:
    bodies = (
        '{"job_type": "sample_once", "payload": {"number": 1, "text": "a"}, "delay": 9}',
        '{ "delay": 9, "payload": {"text": "\\u0061", "number": 1}, "job_type": "sample_once" }',
    )
    made, again = (call("POST", "/jobs", raw=each, headers=KEY) for each in bodies)
    assert (replayed(made), replayed(again)) == (False, True)


@pytest.mark.parametrize(
    "default",
    [
        {"queue_name": None},
        {"payload": {}},
        {"organization_id": "default"},
        {"run_at": None, "delay": None, "on_end": None, "on_failure": None},
    ],
)
def test_a_default_that_is_spelled_out_makes_no_difference(default: dict[str, Any]) -> None:
    for key, spellings in (("one", ({}, default)), ("other", (default, {}))):
        made, again = (post(idempotency_key=key, **each) for each in spellings)
        assert (replayed(made), replayed(again)) == (False, True)


@pytest.mark.parametrize(
    "other",
    [
        {"payload": {"number": 2}},
        {"payload": {}},
        {"job_type": "sample_again"},
        {"queue_name": "q"},
        {"delay": 5},
    ],
)
def test_another_request_under_the_same_key_is_refused(other: dict[str, Any]) -> None:
    made = post(payload={"number": 1}, **FIELD)
    answer = post(**{"payload": {"number": 1}, **FIELD, **other})
    assert answer.status == 409
    assert answer.json["type"] == "urn:job-runners:idempotency-conflict"
    assert made.json["id"] in answer.json["detail"]
    assert rows() == 1


def test_a_key_is_of_one_organisation() -> None:
    ids = {post(organization_id=each, **FIELD).json["id"] for each in ("a", "b", "default")}
    assert len(ids) == 3
    assert not replayed(post(organization_id="c", **FIELD))


def test_a_replay_after_the_job_has_ended_tells_how(worker: FakeLambda) -> None:
    post(**FIELD)
    worker.deliver()
    again = post(**FIELD)
    assert replayed(again)
    assert again.json["status"] == "succeeded"
    assert "retry-after" not in again.headers
    assert worker.deliver() == 0


def test_a_replay_of_a_time_that_has_passed_is_the_same_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields: dict[str, Any] = {"run_at": at(60), **FIELD}
    made = post(**fields)
    later = clock.now() + clock.DAY
    monkeypatch.setattr(clock, "now", lambda: later)
    again = post(**fields)
    assert replayed(again)
    assert again.json["id"] == made.json["id"]


def test_a_key_is_free_again_once_its_job_has_expired(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(**FIELD)
    worker.deliver()
    later = clock.now() + 31 * clock.DAY
    monkeypatch.setattr(clock, "now", lambda: later)
    assert not replayed(post(payload={"number": 2}, **FIELD))


def test_a_key_is_free_again_once_its_job_is_deleted(worker: FakeLambda) -> None:
    made = post(**FIELD)
    worker.deliver()
    assert call("DELETE", made.headers["location"]).status == 204
    assert not replayed(post(payload={"number": 2}, **FIELD))


@pytest.fixture
def atomic_puts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As DynamoDB's are; moto looks at the condition and then writes, and another thread may come
    between."""
    lock, put = threading.Lock(), DynamoDBBackend.put_item

    def put_alone(*args: Any, **kwargs: Any) -> Any:
        with lock:
            return put(*args, **kwargs)

    monkeypatch.setattr(DynamoDBBackend, "put_item", put_alone)


@pytest.mark.usefixtures("atomic_puts")
def test_racing_requests_are_one_job(worker: FakeLambda) -> None:
    answers: list[Answer] = []
    start = threading.Barrier(6)
    post(idempotency_key="another")  # the function has started

    def request() -> None:
        start.wait()
        answers.append(post(**FIELD))

    threads = [threading.Thread(target=request) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len({answer.json["id"] for answer in answers}) == 1
    assert sorted(replayed(each) for each in answers) == [False] + [True] * 5
    assert rows() == 2


@pytest.mark.parametrize(
    ("key", "why"),
    [("", "at least 1 character"), ("x" * 256, "at most 255"), ("a\nb", "pattern"), (7, "string")],
)
def test_a_key_that_can_not_be_one_is_refused(key: Any, why: str) -> None:
    refused(post(idempotency_key=key), "idempotency_key", why)
    if isinstance(key, str):
        refused(post(headers={"Idempotency-Key": key}), "idempotency_key", why)


def test_two_keys_are_one_too_many() -> None:
    refused(post(headers=KEY, idempotency_key="other"), "idempotency_key", "Idempotency-Key")


# --- where they are listed ------------------------------------------------------------------------


def test_jobs_are_listed_by_their_new_states(worker: FakeLambda) -> None:
    scheduled = post(delay=600).json["id"]
    canceled = post().json["id"]
    call("POST", f"/jobs/{canceled}/cancel")
    assert call("PUT", "/paused/queue/default").status == 200
    waiting = post().json["id"]
    worker.deliver()
    catch_up()
    for status, job_id in (
        ("scheduled", scheduled),
        ("canceled", canceled),
        ("waiting", waiting),
    ):
        jobs = call("GET", "/jobs", query=f"organization_id=default&status={status}").json["jobs"]
        assert [job["id"] for job in jobs] == [job_id]
    assert call("GET", f"/jobs/{waiting}").json["waiting_since"] is not None
