"""Many jobs with one request: POST /jobs/bulk."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from api_events import Answer, Logged, call
from bench import Bench
from fake_lambda import FakeLambda
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.dispatch import bulk
from job_runners.engine.dispatch.dispatch import save_checked
from job_runners.store import limits
from job_runners.store.job_request import Status
from job_runners.testing import moto_direct
from job_runners.testing.aws import forget
from outage import Outage
from sample_work import script

KEY = {"Idempotency-Key": "may"}


def post(jobs: list[Any], headers: dict[str, str] | None = None, **more: Any) -> Answer:
    parts = {name: more.pop(name) for name in ("claims",) if name in more}
    body = {"jobs": jobs, **more}
    return call("POST", "/jobs/bulk", body=body, headers=headers or KEY, **parts)


def numbered(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [
        {"job_type": "sample_once", "payload": {"number": number}, **fields}
        for number in range(count)
    ]


def rows() -> list[Any]:
    return moto_direct.rows("jobs")


def statuses(answer: Answer) -> list[int]:
    assert answer.status == 200, answer.text
    return [each["status"] for each in answer.json["jobs"]]


def ids(answer: Answer) -> list[str]:
    return [each["job"]["id"] for each in answer.json["jobs"]]


@pytest.fixture
def counted(worker: FakeLambda) -> Counter[str]:
    """Count the requests to AWS, by operation."""
    calls: Counter[str] = Counter()

    def count(model: Any, **_: Any) -> None:
        calls[model.name] += 1

    for service in ("dynamodb", "lambda", "sqs", "s3"):
        clients.client(service).meta.events.register("before-call.*.*", count)
    return calls


# --- all that is well -----------------------------------------------------------------------------


def test_each_job_costs_one_put_and_one_invoke_and_is_answered_in_order(
    worker: FakeLambda, counted: Counter[str]
) -> None:
    limits.current()
    counted.clear()
    answer = post(numbered(40))
    assert statuses(answer) == [202] * 40
    assert [each["index"] for each in answer.json["jobs"]] == [*range(40)]
    assert counted == {"PutItem": 40, "Invoke": 40}
    by_id = {row["id"]: row for row in rows()}
    for number, job_id in enumerate(ids(answer)):
        assert call("GET", f"/jobs/{job_id}").json["payload"] == {"number": number}
        assert by_id[job_id]["status"] == "queued"
    assert worker.deliver() == 40
    assert len(script.jobs_run) == 40


def test_a_repetition_dispatches_nothing_and_shows_the_same_jobs(worker: FakeLambda) -> None:
    first = post(numbered(5))
    worker.deliver()
    second = post(numbered(5))
    assert ids(second) == ids(first)
    assert statuses(second) == [202] * 5
    assert not any(each["replayed"] for each in first.json["jobs"])
    assert all(each["replayed"] for each in second.json["jobs"])
    assert {each["job"]["status"] for each in second.json["jobs"]} == {"succeeded"}
    assert worker.deliver() == 0
    assert len(rows()) == 5


def test_the_index_of_the_first_job_goes_on_from_an_earlier_request(worker: FakeLambda) -> None:
    whole = post(numbered(6))
    rest = post(numbered(6)[4:], first_index=4)
    assert ids(rest) == ids(whole)[4:]
    assert [each["index"] for each in rest.json["jobs"]] == [4, 5]
    assert len(rows()) == 6


def test_another_job_at_the_same_index_is_a_conflict_of_that_job_alone(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = Logged(monkeypatch)
    first = post(numbered(3))
    changed = numbered(3)
    changed[1]["payload"] = {"number": 9}
    answer = post(changed)
    assert statuses(answer) == [202, 409, 202]
    problem = answer.json["jobs"][1]["problem"]
    assert problem["type"] == "urn:job-runners:idempotency-conflict"
    assert problem["job_id"] == ids(first)[1]
    assert answer.json["jobs"][1]["job"] is None
    assert "Traceback" not in logged.text


def test_keys_of_two_organizations_are_two_keys(worker: FakeLambda) -> None:
    ours, theirs = (post(numbered(2, organization_id=name)) for name in ("ours", "theirs"))
    assert not set(ids(ours)) & set(ids(theirs))
    assert len(rows()) == 4


def test_delays_and_queues_follow_the_rules_of_one_dispatch(
    worker: FakeLambda, counted: Counter[str]
) -> None:
    jobs = [
        *numbered(1, delay=100),
        *numbered(1, queue_name="sample_slots"),
        *numbered(1, delay=3600),
    ]
    answer = post(jobs)
    assert [each["job"]["status"] for each in answer.json["jobs"]] == [
        "scheduled",
        "queued",
        "scheduled",
    ]
    assert answer.json["jobs"][1]["job"]["queue_name"] == "sample_slots"
    assert (counted["SendMessage"], counted["Invoke"]) == (1, 1)


def test_a_large_payload_goes_to_the_bucket_first(worker: FakeLambda) -> None:
    texts = ["".join(map(chr, range(300, 9300))), "small"]
    jobs = [{"job_type": "sample_once", "payload": {"text": text}} for text in texts]
    answer = post(jobs)
    assert [call("GET", f"/jobs/{each}").json["payload"]["text"] for each in ids(answer)] == texts
    assert sorted(bool(row.get("payload_key")) for row in rows()) == [False, True]


# --- what is refused as a whole -------------------------------------------------------------------


def test_invalid_jobs_refuse_the_request_before_any_write(
    worker: FakeLambda, counted: Counter[str]
) -> None:
    jobs = numbered(30)
    jobs[3]["payload"] = {"number": "x", "nmber": 1}
    jobs[7] = {"job_type": "sample_onse"}
    jobs[9] = "sample_once"  # type: ignore[call-overload]
    jobs[11]["delay"] = -1
    jobs[12]["idempotency_key"] = "its own"
    jobs[29] = {"payload": {}}
    answer = post(jobs, first_index=1000)
    assert answer.status == 422
    assert answer.json["type"] == "urn:job-runners:invalid-jobs"
    assert "6 of the jobs are invalid" in answer.json["detail"]
    wrong = [(each["index"], each["field"]) for each in answer.json["errors"]]
    assert wrong == [
        (1003, "jobs.3.payload.number"),
        (1003, "jobs.3.payload.nmber"),
        (1007, "jobs.7.job_type"),
        (1009, "jobs.9"),
        (1011, "jobs.11.delay"),
        (1012, "jobs.12.idempotency_key"),
        (1029, "jobs.29.job_type"),
    ]
    assert "Did you mean 'sample_once'?" in answer.json["errors"][2]["why"]
    assert counted["PutItem"] == counted["Invoke"] == 0
    assert rows() == []


def test_a_thousand_invalid_jobs_are_all_listed(worker: FakeLambda) -> None:
    answer = post([{"job_type": "nope"}] * 1000)
    assert [each["index"] for each in answer.json["errors"]] == [*range(1000)]


@pytest.mark.parametrize(
    ("jobs", "headers", "field"),
    [
        ([], KEY, "jobs"),
        ([{"job_type": "sample_once"}] * 1001, KEY, "jobs"),
        ([{"job_type": "sample_once"}], {"a": "b"}, "idempotency_key"),
        ([{"job_type": "sample_once"}], {"Idempotency-Key": "k" * 256}, "idempotency_key"),
    ],
)
def test_a_request_without_a_key_or_with_too_many_jobs_is_refused(
    worker: FakeLambda, jobs: list[Any], headers: dict[str, str], field: str
) -> None:
    answer = post(jobs, headers)
    assert answer.status == 422
    assert [each["field"] for each in answer.json["errors"]] == [field]
    assert rows() == []


def test_each_job_follows_the_rights_of_its_caller(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()
    claims = {"sub": "ada", "roles": "operator", "organization_id": "ours"}
    assert post(numbered(2), claims=claims).json["jobs"][1]["job"]["organization_id"] == "ours"
    theirs = [*numbered(1), *numbered(1, organization_id="theirs")]
    assert post(theirs, {"Idempotency-Key": "june"}, claims=claims).status == 403
    queue = [*numbered(1), *numbered(1, queue_name="sample_slots")]
    refused = post(queue, {"Idempotency-Key": "june"}, claims=claims)
    assert [each["field"] for each in refused.json["errors"]] == ["jobs.1.queue_name"]
    assert len(rows()) == 2


def test_a_quota_is_checked_for_all_at_once_and_counts_only_jobs_without_a_row(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_UNFINISHED_JOBS", "10")
    forget()
    assert post(numbered(11)).status == 429
    assert rows() == []
    assert statuses(post(numbered(8))) == [202] * 8
    assert statuses(post(numbered(8))) == [202] * 8  # a repetition counts none
    assert statuses(post(numbered(10))) == [202] * 10  # and a longer one counts two
    refused = post(numbered(11))
    assert (refused.status, refused.headers["retry-after"]) == (429, "10")
    assert "may have 10 unfinished jobs, and 1 more" not in refused.json["detail"]
    assert "reached its quota of 10" in refused.json["detail"]
    assert len(rows()) == 10


def test_a_full_queue_is_checked_for_all_at_once(worker: FakeLambda) -> None:
    limits.put("sample_slots", slots=1, max_waiting=5)
    limits.current(fresh=True)
    refused = post(numbered(6, queue_name="sample_slots"))
    assert (refused.status, refused.json["type"]) == (429, "urn:job-runners:queue-full")
    assert "may have 5 waiting jobs, and 6 more would exceed that" in refused.json["detail"]
    assert rows() == []
    assert statuses(post(numbered(5, queue_name="sample_slots"))) == [202] * 5


# --- unique work ----------------------------------------------------------------------------------


@pytest.fixture
def _unique(worker: FakeLambda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    forget()


def lots(job_type: str, texts: str) -> list[dict[str, Any]]:
    return [{"job_type": job_type, "payload": {"lot": "a", "text": text}} for text in texts]


@pytest.mark.usefixtures("_unique")
def test_unique_jobs_of_one_request_are_one_job_and_the_last_payload_wins() -> None:
    for _ in range(2):  # a repetition is answered in the same way
        answer = post(lots("unique_replace", "abcdefgh"))
        assert statuses(answer) == [202] * 8
        outcomes = [each["unique_outcome"] for each in answer.json["jobs"]]
        assert outcomes == [None] + ["replaced"] * 7
        assert len(set(ids(answer))) == len(rows()) == 1
        payload = call("GET", f"/jobs/{ids(answer)[0]}").json["payload"]
        assert payload["text"] == "h"


@pytest.mark.usefixtures("_unique")
def test_a_unique_job_that_is_refused_is_a_conflict_of_that_job_alone() -> None:
    answer = post([*lots("unique_refuse", "aa"), *numbered(1)])
    assert statuses(answer) == [202, 409, 202]
    problem = answer.json["jobs"][1]["problem"]
    assert problem["type"] == "urn:job-runners:unique-conflict"
    assert problem["job_id"] == ids_of(answer, 0)


def ids_of(answer: Answer, number: int) -> str:
    job_id: str = answer.json["jobs"][number]["job"]["id"]
    return job_id


# --- AWS on a bad day -----------------------------------------------------------------------------


@pytest.fixture
def alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a bench on which jobs are dispatched one after another."""
    monkeypatch.setattr(bulk, "THREADS", 1)
    return bench


def sending(monkeypatch: pytest.MonkeyPatch, send: Callable[..., None]) -> None:
    monkeypatch.setattr("job_runners.runners.sender", lambda: send)


def test_jobs_that_are_not_reached_in_22_seconds_get_503_and_the_request_is_repeated(
    alone: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    def send(message: Any, delay: float = 0) -> None:
        sent.append(message.id)
        alone.advance(5)

    sending(monkeypatch, send)
    answer = post(numbered(8))
    assert statuses(answer) == [202] * 5 + [503] * 3
    assert answer.headers["retry-after"] == "1"
    assert answer.json["jobs"][5]["problem"]["type"] == "urn:job-runners:not-reached"
    assert len(rows()) == 5
    sending(monkeypatch, lambda message, delay=0: sent.append(message.id))
    again = post(numbered(8))
    assert statuses(again) == [202] * 8
    assert "retry-after" not in again.headers
    assert ids(again)[:5] == [each["job"]["id"] for each in answer.json["jobs"][:5]]
    assert len(rows()) == 8


def test_a_job_that_is_saved_as_the_time_ends_leaves_its_message_to_the_timer(
    alone: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    sending(monkeypatch, lambda message, delay=0: sent.append(message.id))

    def save(job: Any) -> Any:
        row = save_checked(job)
        alone.advance(23)
        return row

    monkeypatch.setattr(f"{bulk.__name__}.save_checked", save)
    assert statuses(post(numbered(2))) == [202, 503]
    assert sent == []


@pytest.mark.parametrize("kind", Outage.KINDS)
def test_while_the_table_is_away_no_job_is_half_done(
    alone: Bench, outage: Outage, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    sent: list[str] = []
    sending(monkeypatch, lambda message, delay=0: sent.append(message.id))
    outage.begin(kind, seconds=100)
    answer = post(numbered(4))
    assert set(statuses(answer)) == {503}
    assert sent == []
    outage.end()
    again = post(numbered(4))
    assert statuses(again) == [202] * 4
    assert sent == ids(again)
    assert len(rows()) == 4


def test_a_short_outage_is_waited_out(alone: Bench, outage: Outage) -> None:
    outage.begin("throttled", seconds=3)
    assert statuses(post(numbered(4))) == [202] * 4


def test_a_job_that_aws_refuses_does_not_keep_the_others_from_theirs(
    alone: Bench, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending(monkeypatch, lambda message, delay=0: outage.end())
    real = save_checked

    def save(job: Any) -> Any:
        if job.new_job.payload["number"] == 1:
            outage.begin("refused")
        else:
            outage.end()
        return real(job)

    monkeypatch.setattr(f"{bulk.__name__}.save_checked", save)
    answer = post(numbered(3))
    assert statuses(answer) == [202, 500, 202]
    assert "AccessDenied" not in answer.text


def test_a_message_that_cannot_be_sent_leaves_its_row_due(worker: FakeLambda) -> None:
    worker.refuse = 403
    answer = post(numbered(80))
    assert statuses(answer) == [202] * 80
    assert {row["status"] for row in rows()} == {Status.QUEUED}
    assert all(row["due_at"] <= clock.now() + clock.MINUTE for row in rows())
    assert len(worker.invokes) < 80  # after a few failures in a row, the timer sends the others


def test_a_later_job_of_the_same_unique_key_waits_for_one_that_was_not_saved(
    alone: Bench, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    forget()
    real, calls = save_checked, []

    def save(job: Any) -> Any:
        calls.append(job.new_job.payload["text"])
        if len(calls) == 1:
            outage.begin("throttled", seconds=25)
        return real(job)

    monkeypatch.setattr(f"{bulk.__name__}.save_checked", save)
    answer = post(lots("unique_replace", "ab"))
    assert statuses(answer) == [503, 503]
    assert set(calls) == {"a"}
    assert statuses(post(lots("unique_replace", "ab"))) == [202, 202]
