"""Many jobs and one after them: POST /batches, and what is shown of a batch."""

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import pytest

import batch_sample
import job_runners.handlers.worker
from api_events import Answer, call
from fake_lambda import FakeLambda
from job_runners import caches, clock
from job_runners.api import batches
from job_runners.aws import bucket, clients
from job_runners.engine.dispatch import bulk, quota
from job_runners.engine.running import execution
from job_runners.engine.tick import timer
from job_runners.runners import lambda_async
from job_runners.settings import forget
from job_runners.store import group_chunks, group_members, groups, queries
from job_runners.testing import moto_direct
from job_runners.testing.lambda_context import Context
from job_runners.testing.movable_clock import MovableClock
from job_runners.work import gathering
from job_runners.work.running_job import RunningJob
from sample_work import Sample, script
from stale_reads import catch_up

KEY = {"Idempotency-Key": "may"}
THEN = {"job_type": "batch_done", "payload": {"title": "may"}}
FILE = "uploads/default/may.jsonl"


@pytest.fixture(autouse=True)
def _app(worker: FakeLambda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,batch_sample,unique_sample")
    monkeypatch.setattr(bulk, "THREADS", 1)  # so that members are sent in their order
    forget()
    batch_sample.ENDED.clear()


def numbered(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [
        {"job_type": "sample_once", "payload": {"number": number}, **fields}
        for number in range(count)
    ]


def post(members: Any = None, *, key: str | None = "may", **more: Any) -> Answer:
    parts = {name: more.pop(name) for name in ("claims",) if name in more}
    body = more if members is None else {"members": members, **more}
    headers = {"content-type": "application/json"} | ({"Idempotency-Key": key} if key else {})
    return call("POST", "/batches", body=body, headers=headers, **parts)


def put_file(*lines: Any, key: str = FILE) -> None:
    texts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in lines]
    bucket.put_bytes(key, b"\n".join(texts))


def show(batch: Answer, path: str = "", query: str = "") -> dict[str, Any]:
    answer = call("GET", f"/batches/{batch.json['id']}{path}", query=query)
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def counts(batch: Answer) -> tuple[int, ...]:
    shown = show(batch)
    names = ("total", "open", "succeeded", "failed", "canceled", "existing")
    return tuple(shown[each] for each in names)


def members(batch: Answer, query: str = "") -> list[tuple[str, str]]:
    listed = show(batch, "/members", query)["members"]
    return [(each["key"], each["status"]) for each in listed]


def rows() -> list[Any]:
    return moto_direct.rows("jobs")


def fail(*numbers: int) -> None:
    def work(job: Any, payload: Sample) -> Any:
        if payload.number in numbers:
            raise ValueError(f"no luck with {payload.number}")

    script.job = work


def deliver_one(worker: FakeLambda, job_id: str | None = None) -> None:
    """Run the first event, or that of a job."""
    index = next(n for n, each in enumerate(worker.events) if job_id in (None, each["id"]))
    job_runners.handlers.worker.handler(worker.events.pop(index), cast(Any, Context()))


# --- all that is well -----------------------------------------------------------------------------


@pytest.mark.parametrize("in_file", [False, True])
def test_a_batch_runs_its_members_and_then_one_job_even_if_a_member_fails(
    worker: FakeLambda, in_file: bool
) -> None:
    fail(2)
    given = [*numbered(3), *numbered(1, key="extra", queue_name="others")]
    if in_file:
        put_file(b"\xef\xbb\xbf" + json.dumps(given[0]).encode(), b"", *given[1:], b" ")
        batch = post(members_file=FILE, then=THEN)
    else:
        batch = post(given, then=THEN)
    assert (batch.status, batch.json["state"]) == (202, "queued"), batch.text
    assert batch.headers["location"] == f"/batches/{batch.json['id']}"
    assert counts(batch) == (4, 4, 0, 0, 0, 0)
    assert members(batch) == []
    assert len(rows()) == 1  # the batch is one row
    worker.deliver()
    assert counts(batch) == (4, 0, 3, 1, 0, 0)
    shown = show(batch)
    assert (shown["state"], shown["progress"], shown["as_of"]) == ("succeeded", 100, None)
    (ended,) = batch_sample.ENDED
    assert (ended.title, ended.batch.id) == ("may", batch.json["id"])
    assert ended.batch.model_dump(exclude={"id"}) == {
        "total": 4,
        "succeeded": 3,
        "failed": 1,
        "canceled": 0,
        "existing": 0,
    }
    last = call("GET", f"/jobs/{shown['then_id']}").json
    assert (last["job_type"], last["parent_id"]) == ("batch_done", batch.json["id"])
    assert members(batch) == [
        ("000000", "succeeded"),
        ("000001", "succeeded"),
        ("000002", "failed"),
        ("extra", "succeeded"),
    ]
    extra = show(batch, "/members")["members"][3]["job"]
    assert extra["queue_name"] == "others"
    job = call("GET", f"/jobs/{batch.json['id']}").json
    assert job["result_message"] == "3 of 4 members succeeded"


class NewerData(batches.BatchData):
    """A request as a later deploy reads it, with one more field."""

    priority: int = 0


def test_a_deploy_that_adds_a_field_still_knows_a_repetition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = post(numbered(2))
    monkeypatch.setattr(batches, "BatchData", NewerData)
    assert post(numbered(2)).json["id"] == first.json["id"]


def test_a_repetition_returns_the_same_batch_and_another_request_under_the_key_is_refused(
    worker: FakeLambda,
) -> None:
    put_file(*numbered(2))
    first = post(members_file=FILE)
    bucket.delete(FILE)
    again = post(members_file=FILE)
    assert (again.status, again.json["id"]) == (202, first.json["id"])
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert len(worker.events) == len(rows()) == 1
    other = post(numbered(2))
    assert (other.status, other.json["job_id"]) == (409, first.json["id"])


@pytest.mark.parametrize(
    "spelled_out",
    [
        {"organization_id": "default"},
        {"stop_after_failures": None, "members_file": None},
        {"members": [{"job_type": "sample_once", "payload": {}, "key": None, "queue_name": None}]},
        {"then": THEN, "organization_id": "default"},
    ],
)
def test_a_repetition_may_spell_out_a_default(
    worker: FakeLambda, spelled_out: dict[str, Any]
) -> None:
    plain: dict[str, Any] = {"members": [{"job_type": "sample_once"}]}
    plain |= {"then": spelled_out["then"]} if "then" in spelled_out else {}
    first, again = post(**plain), post(**{**plain, **spelled_out})
    assert (first.status, again.status) == (202, 202), again.text
    assert again.json["id"] == first.json["id"]


def test_members_are_listed_page_by_page_and_by_outcome(worker: FakeLambda) -> None:
    fail(1, 4)
    batch = post(numbered(6))
    worker.deliver()
    page = show(batch, "/members", "limit=4")
    assert [each["key"] for each in page["members"]] == [f"{n:06d}" for n in range(4)]
    rest = show(batch, "/members", f"limit=4&cursor={page['cursor']}")
    assert [each["key"] for each in rest["members"]] == ["000004", "000005"]
    assert rest["cursor"] is None
    failed = show(batch, "/members", "status=failed")["members"]
    assert [each["key"] for each in failed] == ["000001", "000004"]
    assert failed[0]["error"] == {"kind": "ValueError", "message": "no luck with 1"}
    assert members(batch, "status=canceled") == members(batch, "status=open") == []
    for query in ("status=queued", "cursor=YnRlbg", "cursor=x"):
        refused = call("GET", f"/batches/{batch.json['id']}/members", query=query)
        assert refused.status == 400


def test_a_page_with_a_filter_ends_after_some_members(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_members, "MAX_EXAMINED", 4)
    fail(5)
    batch = post(numbered(7))
    worker.deliver()
    page = show(batch, "/members", "status=failed&limit=2")
    assert page["members"] == []
    query = f"status=failed&limit=2&cursor={page['cursor']}"
    assert members(batch, query) == [("000005", "failed")]


def test_a_short_page_with_a_filter_reads_a_hundred_rows_at_a_time(worker: FakeLambda) -> None:
    fail(90, 110)
    batch = post(numbered(120))
    worker.deliver()
    reads: list[Any] = []
    clients.client("dynamodb").meta.events.register(
        "before-call.dynamodb.BatchGetItem", lambda **_: reads.append(_)
    )
    first = show(batch, "/members", "status=failed&limit=1")
    assert ([each["key"] for each in first["members"]], len(reads)) == (["000090"], 1)
    query = f"status=failed&limit=1&cursor={first['cursor']}"
    assert members(batch, query) == [("000110", "failed")]


def test_a_failed_member_is_listed_even_if_its_worker_ended_before_it_recorded_the_failure(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(groups, "note_failed", end)
    fail(1)
    batch = post(numbered(2))
    worker.deliver()
    assert members(batch, "status=failed") == [("000001", "failed")]


def test_unique_members_that_exist_or_are_refused_are_counted(worker: FakeLambda) -> None:
    running = call("POST", "/jobs", body={"job_type": "unique_return", "payload": {"lot": "a"}})
    call("POST", "/jobs", body={"job_type": "unique_refuse", "payload": {"lot": "a"}})
    taken = [
        {"job_type": each, "payload": {"lot": "a"}} for each in ("unique_return", "unique_refuse")
    ]
    batch = post([*numbered(1), *taken], then=THEN)
    worker.events[:2] = []
    worker.deliver()
    assert counts(batch) == (3, 0, 1, 1, 0, 1)
    assert batch_sample.ENDED[0].batch.existing == 1
    _, existing, refused = show(batch, "/members")["members"]
    assert (existing["status"], existing["id"]) == ("existing", running.json["id"])
    assert (refused["status"], refused["error"]["kind"]) == ("failed", "UniqueConflict")
    assert refused["job"] is None


def test_a_member_that_is_retried_in_time_is_waited_for_and_progress_does_not_go_back(
    worker: FakeLambda,
) -> None:
    fail(0)
    batch = post(numbered(4), then=THEN)
    deliver_one(worker)
    ids = [each["id"] for each in show(batch, "/members")["members"]]
    for number in (0, 2):
        deliver_one(worker, ids[number])
    assert counts(batch) == (4, 2, 1, 1, 0, 0)
    assert show(batch)["progress"] == 50
    (failed,) = show(batch, "/members", "status=failed")["members"]
    script.job = lambda job, payload: None
    assert call("POST", f"/jobs/{failed['id']}/retry").status == 202
    assert counts(batch) == (4, 3, 1, 0, 0, 0)
    assert show(batch)["progress"] == 50
    worker.deliver()
    assert counts(batch) == (4, 0, 4, 0, 0, 0)
    assert [each.batch.failed for each in batch_sample.ENDED] == [0]


def test_a_canceled_batch_dispatches_no_last_job_and_its_members_go_on(
    worker: FakeLambda,
) -> None:
    batch = post(numbered(3), then=THEN)
    deliver_one(worker)
    canceled = call("POST", f"/jobs/{batch.json['id']}/cancel")
    assert (canceled.status, canceled.json["status"]) == (200, "canceled")
    worker.deliver()
    assert counts(batch) == (3, 0, 3, 0, 0, 0)
    assert (batch_sample.ENDED, show(batch)["then_id"]) == ([], None)
    # A retry continues the same batch.
    assert call("POST", f"/jobs/{batch.json['id']}/retry").status == 202
    worker.deliver()
    assert len(batch_sample.ENDED) == 1
    assert len(script.jobs_run) == 3


def test_a_batch_is_canceled_with_its_members(worker: FakeLambda) -> None:
    batch = post(numbered(3), then=THEN)
    deliver_one(worker)
    deliver_one(worker)
    path = f"/jobs/{batch.json['id']}/cancel"
    assert call("POST", path, query="members=yes").status == 400
    canceled = call("POST", path, query="members=true")
    assert (canceled.status, show(batch)["state"]) == (200, "canceled")
    assert counts(batch) == (3, 0, 1, 0, 2, 0)
    (one, _) = show(batch, "/members", "status=canceled")["members"]
    assert one["job"]["canceled_by"] == "service:user/campaign-service"
    worker.deliver()
    assert batch_sample.ENDED == []


def test_a_batch_that_is_canceled_in_its_last_invocation_dispatches_no_last_job(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = post(numbered(2), then=THEN)
    answers: list[Answer] = []
    count = gathering._count

    def cancel_first(*arguments: Any) -> Any:
        path = f"/jobs/{batch.json['id']}/cancel"
        answers.append(call("POST", path, query="members=true"))
        return count(*arguments)

    monkeypatch.setattr(gathering, "_count", cancel_first)
    worker.deliver()
    assert [(each.status, each.json["status"]) for each in answers] == [(202, "running")]
    assert show(batch)["state"] == "canceled"
    assert (counts(batch), batch_sample.ENDED) == ((2, 0, 2, 0, 0, 0), [])


def test_a_cancel_after_the_last_check_of_a_batch_comes_too_late(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = post(numbered(1), then=THEN)
    dispatch = RunningJob.dispatch
    canceled: list[int] = []

    def dispatch_late(job: RunningJob, *arguments: Any, **options: Any) -> str:
        answer = call("POST", f"/jobs/{batch.json['id']}/cancel", query="members=true")
        canceled.append(answer.status)
        return dispatch(job, *arguments, **options)

    monkeypatch.setattr(RunningJob, "dispatch", dispatch_late)
    worker.deliver()
    assert (canceled, show(batch)["state"]) == ([202], "succeeded")
    assert [each.batch.id for each in batch_sample.ENDED] == [batch.json["id"]]
    assert show(batch)["then_id"] is not None


def test_members_that_have_not_started_are_canceled_after_some_failures(
    worker: FakeLambda,
) -> None:
    fail(0, 1)
    batch = post(numbered(5), then=THEN, stop_after_failures=2.0)  # a whole number in JSON Schema
    deliver_one(worker)
    for each in show(batch, "/members")["members"][:2]:
        deliver_one(worker, each["id"])
    worker.deliver()
    assert counts(batch) == (5, 0, 0, 2, 3, 0)
    assert batch_sample.ENDED[0].batch.canceled == 3


def test_the_timer_counts_the_members_of_a_large_batch(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", 4)
    time = MovableClock()
    monkeypatch.setattr(clock, "now", time.now)
    fail(1, 2, 5, 8)
    batch = post(numbered(10), then=THEN)
    deliver_one(worker)
    assert counts(batch) == (10, 10, 0, 0, 0, 0)
    assert show(batch)["as_of"] is None  # before the timer's first look
    page = show(batch, "/members", "limit=3")
    listed = page["members"] + show(batch, "/members", f"cursor={page['cursor']}")["members"]
    ids = [each["id"] for each in listed]
    assert [each["key"] for each in listed] == [f"{n:06d}" for n in range(10)]
    for number in range(6):
        deliver_one(worker, ids[number])
    assert counts(batch) == (10, 4, 3, 3, 0, 0)
    assert call("POST", f"/jobs/{ids[9]}/cancel").status == 200
    assert call("POST", f"/jobs/{ids[1]}/retry").status == 202  # waited for again
    assert members(batch, "status=canceled") == [("000009", "canceled")]
    assert members(batch, "status=failed") == [("000002", "failed"), ("000005", "failed")]
    assert len(members(batch, "status=open")) == 4

    def look() -> None:
        time.advance(100)
        timer.tick(lambda_async.send, until=clock.now() + clock.MINUTE)

    look()
    assert counts(batch) == (10, 4, 3, 2, 1, 0)
    assert show(batch)["progress"] == 70
    assert show(batch)["as_of"] > show(batch)["created_at"]
    job = call("GET", f"/jobs/{batch.json['id']}").json
    assert (job["status"], job["progress"]) == ("waiting", 70)
    script.job = lambda job, payload: None
    for number in (2, 5):
        assert call("POST", f"/jobs/{ids[number]}/retry").status == 202
    look()
    look()
    assert show(batch)["progress"] == 70
    worker.deliver()
    assert counts(batch) == (10, 0, 9, 0, 1, 0)
    shown = show(batch)
    assert (shown["state"], shown["as_of"]) == ("succeeded", shown["finished_at"])
    assert len(batch_sample.ENDED) == 1


def test_a_batch_costs_one_put_and_its_numbers_one_read_for_each_hundred_members(
    worker: FakeLambda,
) -> None:
    cost = Cost()
    post(numbered(1), key="another")  # fills caches
    batch = post(numbered(150), key="june")
    assert cost(lambda: post(numbered(150))) == {"GetItem": 1, "PutItem": 1, "Invoke": 1}
    assert cost(lambda: show(batch)) == {"GetItem": 1}
    worker.deliver()
    # The row and the keys; the chunk that is done; two pages of rows.
    assert cost(lambda: show(batch)) == {"GetItem": 2, "Query": 1, "BatchGetItem": 2}
    # The row and the keys; the chunks that are done; the rows.
    page = {"GetItem": 2, "Query": 1, "BatchGetItem": 1}
    assert cost(lambda: show(batch, "/members", "limit=100")) == page
    assert cost(lambda: show(batch, "/members", "status=failed&limit=100")) == page | {
        "BatchGetItem": 2
    }


def test_the_numbers_of_a_large_batch_cost_one_read_and_a_page_reads_only_its_members(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_chunks, "SIZE", 4)
    cost = Cost()
    batch = post(numbered(30))
    fail(7, 28)
    worker.deliver()
    assert cost(lambda: show(batch)) == {"GetItem": 1}
    # The row and a chunk's keys; the chunks that are done; the rows.
    page = {"GetItem": 2, "Query": 1, "BatchGetItem": 1}
    assert cost(lambda: show(batch, "/members", "limit=3")) == page
    # The failures of 8 shards; the keys of all 8 chunks.
    page = {"GetItem": 1 + 8, "Query": 1 + 8, "BatchGetItem": 1}
    assert cost(lambda: show(batch, "/members", "status=failed")) == page


class Cost:
    """Counts the calls that something makes."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()
        for service in ("dynamodb", "lambda"):
            clients.client(service).meta.events.register("before-call.*.*", self._count)

    def __call__(self, query: Callable[[], object]) -> dict[str, int]:
        """Return the number of each call that `query` makes."""
        self._calls.clear()
        query()
        return dict(self._calls)

    def _count(self, model: Any, **_: Any) -> None:
        self._calls[model.name] += 1


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("in_file", [False, True])
def test_every_invalid_member_is_listed_and_nothing_is_saved(
    worker: FakeLambda, in_file: bool
) -> None:
    given: list[Any] = numbered(12)
    given[1]["payload"] = {"number": "x", "nmber": 1}
    given[2] = {"job_type": "sample_onse"}
    given[3] = "sample_once"
    given[4]["delay"] = 3
    given[5]["key"] = given[6]["key"] = "twice"
    given[7]["key"] = "é" * 65
    given[8] = {"job_type": "batch", "payload": {"total": 1}}
    given[9]["queue_name"] = "a/b"
    given[10]["key"] = 7
    fields = {
        1: ["payload.number", "payload.nmber"],
        2: ["job_type"],
        3: [""],
        4: ["delay"],
        6: ["key"],
        7: ["key"],
        8: ["job_type"],
        9: ["queue_name"],
        10: ["key"],
    }
    if in_file:
        put_file(*given, b'{"job_type": "sample_once"', b"\xff{}")
        refused = post(members_file=FILE, then=THEN)
        expected = [(number + 1, each) for number, listed in fields.items() for each in listed]
        found = [(each["line"], each["field"]) for each in refused.json["errors"]]
        assert found == [*expected, (13, ""), (14, "")]
    else:
        refused = post(given, then=THEN)
        expected = [
            (number, f"members.{number}.{each}".strip("."))
            for number, listed in fields.items()
            for each in listed
        ]
        assert [(each["index"], each["field"]) for each in refused.json["errors"]] == expected
    assert (refused.status, refused.json["type"]) == (422, "urn:job-runners:invalid-members")
    number = len(fields) + 2 * in_file
    assert f"{number} of the members are invalid, so nothing" in refused.json["detail"]
    assert rows() == worker.events == []
    assert post(numbered(1)).status == 202  # the key is still free


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "members"),
        ({"members": numbered(1), "members_file": FILE}, "members"),
        ({"members": []}, "members"),
        ({"members": numbered(1) * 1001}, "members"),
        ({"members": numbered(1), "stop_after_failures": 0}, "stop_after_failures"),
        ({"members": numbered(1), "stop_after_failures": "2"}, "stop_after_failures"),
        ({"members": numbered(1), "stop_after_failures": True}, "stop_after_failures"),
        ({"members": numbered(1), "then": {"job_type": "sample_once"}}, "then.payload.batch"),
        ({"members": numbered(1), "then": {"job_type": "nope"}}, "then.job_type"),
        ({"members": numbered(1), "then": {"job_type": "batch"}}, "then.job_type"),
        ({"members_file": "uploads/default/none.jsonl"}, "members_file"),
        ({"members_file": "uploads/theirs/may.jsonl"}, "members_file"),
        ({"members_file": "uploads/default/../theirs/may.jsonl"}, "members_file"),
        ({"members_file": "results/default/may.jsonl"}, "members_file"),
        ({"members_file": "uploads/default/empty.jsonl"}, "members_file"),
    ],
)
def test_a_request_that_is_no_batch_is_refused(body: dict[str, Any], field: str) -> None:
    put_file(*numbered(1), key="uploads/theirs/may.jsonl")
    put_file(*numbered(1), key="results/default/may.jsonl")
    put_file(b"\n \n", key="uploads/default/empty.jsonl")
    refused = post(**body)
    assert refused.status == 422, refused.text
    [error] = refused.json["errors"]
    assert error["field"] == field
    if len(body.get("members", ())) > 1000:
        assert "has 1,001 members. A request may have 1,000. Upload a file" in error["why"]
    assert rows() == []


def test_a_batch_needs_a_key() -> None:
    refused = post(numbered(1), key=None)
    assert [each["field"] for each in refused.json["errors"]] == ["idempotency_key"]


@pytest.mark.parametrize(
    ("limit", "value", "why"),
    [
        ("MAX_FILE_BYTES", 10, "Split the file"),
        ("MAX_CHECK_SECONDS", -1, "line 1 was reached. Split the file"),
        ("MAX_LINE_BYTES", 10, ""),
    ],
)
def test_a_file_that_cannot_be_checked_is_refused(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int, why: str
) -> None:
    put_file(*numbered(2))
    monkeypatch.setattr(batches, limit, value)
    refused = post(members_file=FILE)
    assert refused.status == 422
    assert why in refused.text
    assert rows() == []


def test_a_file_has_at_most_100_000_members_and_many_problems_are_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_file(*[b"{}"] * 1_200)
    refused = post(members_file=FILE)
    assert len(refused.json["errors"]) == 1_000
    assert "1,200 of the members are invalid" in refused.json["detail"]
    monkeypatch.setattr("job_runners.work.member_keys.MAX_MEMBERS", 3)
    put_file(*numbered(4))
    refused = post(members_file=FILE)
    assert "at most 3 members" in refused.json["errors"][0]["why"]


def test_members_follow_the_rights_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()
    claims = {"sub": "ada", "roles": "operator", "organization_id": "ours"}
    refused = post([*numbered(1), *numbered(1, queue_name="sample_slots")], claims=claims)
    assert [each["field"] for each in refused.json["errors"]] == ["members.1.queue_name"]
    assert post(numbered(1), organization_id="theirs", claims=claims).status == 403
    batch = post(numbered(1), claims=claims)
    assert batch.json["organization_id"] == "ours"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/jobs", {}),
        ("POST", "/jobs/bulk", None),
        ("PUT", "/schedules/nightly?organization_id=default", {"every": 3600}),
    ],
)
def test_only_its_own_request_dispatches_a_batch(
    method: str, path: str, body: dict[str, Any] | None
) -> None:
    job = {"job_type": "batch", "payload": {"total": 1, "members": numbered(1)}}
    given = {"jobs": [job]} if body is None else job | body
    path, _, query = path.partition("?")
    refused = call(method, path, body=given, query=query, headers=KEY)
    assert refused.status == 422
    assert "use POST /batches" in refused.text


def test_the_members_of_a_batch_cannot_be_changed(worker: FakeLambda) -> None:
    batch = post(numbered(1))
    call("POST", f"/jobs/{batch.json['id']}/cancel")
    payload = {"total": 1, "members": numbered(1)}
    refused = call("POST", f"/jobs/{batch.json['id']}/retry", body={"payload": payload})
    assert refused.status == 422


def test_a_viewer_does_not_see_the_keys_of_the_members(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = post(numbered(2, key="ada@example.com")[:1])
    worker.deliver()
    monkeypatch.setenv("ACCESS_MODE", "jwt")
    forget()
    for role, key in (("viewer", None), ("reader", "ada@example.com")):
        claims = {"sub": "u", "roles": role, "organization_id": "default"}
        path = f"/batches/{batch.json['id']}/members"
        (member,) = call("GET", path, claims=claims).json["members"]
        assert (member["key"], member["status"]) == (key, "succeeded")


def test_a_file_of_blank_lines_takes_no_longer_than_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = iter(range(1_000_000))
    began = clock.now()
    put_file(b"\n" * 10_000)
    monkeypatch.setattr(clock, "now", lambda: began + next(seconds) * clock.SECOND)
    refused = post(members_file=FILE)
    assert refused.status == 422
    assert "could not be checked within 20 seconds" in refused.json["errors"][0]["why"]
    assert next(seconds) < 200


def test_a_job_of_another_type_is_no_batch(worker: FakeLambda) -> None:
    job = call("POST", "/jobs", body={"job_type": "sample_once"}).json
    for path in ("", "/members"):
        assert call("GET", f"/batches/{job['id']}{path}").status == 404


def test_a_quota_counts_all_members(worker: FakeLambda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_UNFINISHED_JOBS", "10")
    forget()
    refused = post(numbered(10))
    assert (refused.status, refused.headers["retry-after"]) == (429, "10")
    assert rows() == []
    batch = post(numbered(9))
    assert batch.status == 202
    deliver_one(worker)
    assert post(numbered(9)).status == 202  # a repetition


def test_batches_together_keep_to_a_quota(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them alone would fit, and none is dispatched yet. Other processes accept them."""
    monkeypatch.setenv("MAX_UNFINISHED_JOBS", "100")
    forget()
    time = MovableClock()
    monkeypatch.setattr(clock, "now", time.now)

    def statuses(*sizes: int, seconds: float = 0) -> list[int]:
        time.advance(seconds)
        if seconds:
            caches.forget_all()
        return [post(numbered(size), key=f"{time.now()}-{size}").status for size in sizes]

    assert statuses(90, 9, 8) == [202, 429, 202]  # each batch is a job too
    assert statuses(1, seconds=1) == [429]
    for _ in range(2):
        deliver_one(worker)  # the batches dispatch their members
    assert len(rows()) == 100
    assert statuses(1, seconds=11) == [429]
    worker.deliver()
    assert statuses(98, seconds=11) == [202]


@pytest.fixture
def half_dispatched(worker: FakeLambda, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Answer]:
    """Return a function that makes a batch of 6, whose worker dies after it has dispatched 4.

    The clock moves on by the time that counts for a quota may be old.
    """
    monkeypatch.setattr(group_chunks, "SIZE", 4)
    time, put = MovableClock(), group_chunks.put
    monkeypatch.setattr(clock, "now", time.now)

    def put_first(group_id: str, chunk: int, keys: list[str]) -> bool:
        return put(group_id, chunk, keys) if chunk == 0 else bool(1 / 0)

    def make(key: str) -> Answer:
        batch = post(numbered(6), key=key)
        assert batch.status == 202, batch.text
        with monkeypatch.context() as killed:
            killed.setattr(execution, "_end", lambda invocation, ending: None)
            killed.setattr(group_chunks, "put", put_first)
            deliver_one(worker, batch.json["id"])
        time.advance(11)
        caches.forget_all()
        return batch

    return make


def queries_while(act: Callable[[], object]) -> int:
    """Return how many queries of DynamoDB something takes."""
    made: list[str] = []
    events = clients.client("dynamodb").meta.events
    events.register("before-call.dynamodb.Query", lambda **_: made.append("Query"))
    act()
    return len(made)


def test_a_quota_counts_members_that_a_batch_has_dispatched_once(
    monkeypatch: pytest.MonkeyPatch, half_dispatched: Callable[[str], Answer]
) -> None:
    monkeypatch.setenv("MAX_UNFINISHED_JOBS", "12")
    forget()
    half_dispatched("may")
    assert len(rows()) == 1 + 4
    assert post(numbered(5), key="june").status == 429
    assert post(numbered(4), key="june").status == 202


def test_a_quota_does_not_count_a_batch_that_ends_while_it_counts(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_UNFINISHED_JOBS", "12")
    forget()
    batch = post(numbered(9))
    caches.forget_all()
    catch_up()
    events = clients.client("dynamodb").meta.events

    def cancel(**_: Any) -> None:
        events.unregister("before-call.dynamodb.BatchGetItem", cancel)
        assert call("POST", f"/jobs/{batch.json['id']}/cancel").status == 200
        catch_up()

    events.register("before-call.dynamodb.BatchGetItem", cancel)
    assert post(numbered(9), key="june").status == 202


def test_a_quota_reads_only_what_a_batch_has_dispatched_until_the_quota_is_reached(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch, half_dispatched: Callable[[str], Answer]
) -> None:
    monkeypatch.setenv("MAX_UNFINISHED_JOBS", "100")
    forget()
    for key in ("may", "june"):
        half_dispatched(key)
    count = partial(quota._count_batches, "default#batches")
    assert queries_while(lambda: count(100)) == 1 + 2
    assert queries_while(lambda: count(3)) == 1 + 1
    waiting, new = (post(numbered(2), key=key) for key in ("july", "august"))
    deliver_one(worker, waiting.json["id"])
    catch_up()
    assert queries_while(lambda: count(100)) == 1 + 2
    assert new.status == 202


def test_a_retried_batch_counts_its_members_again(
    worker: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_UNFINISHED_JOBS", "100")
    forget()
    batch = post(numbered(90))
    assert call("POST", f"/jobs/{batch.json['id']}/cancel").status == 200
    caches.forget_all()
    catch_up()  # a quota's counts may lag behind
    assert quota._cached_count("default#batches", quota._count_batches, 100) == 0
    assert call("POST", f"/jobs/{batch.json['id']}/retry").status == 202
    caches.forget_all()
    catch_up()
    assert post(numbered(10), key="june").status == 429


# --- what goes wrong later ------------------------------------------------------------------------


def test_a_file_that_is_replaced_before_its_members_are_dispatched_fails_the_batch_at_once(
    worker: FakeLambda,
) -> None:
    put_file(*numbered(2))
    batch = post(members_file=FILE, then=THEN)
    put_file(*numbered(3))
    worker.deliver()
    shown = show(batch)
    assert (shown["state"], shown["error"]["kind"]) == ("failed", "DoNotRetry")
    assert "was replaced" in shown["error"]["message"]
    assert counts(batch) == (2, 0, 0, 0, 2, 0)  # they will never run
    assert batch_sample.ENDED == []


def test_a_batch_whose_message_is_lost_is_sent_by_the_timer(worker: FakeLambda) -> None:
    worker.refuse = 403
    batch = post(numbered(1))
    assert batch.status == 202
    row = queries.read(batch.json["id"])
    assert row is not None
    assert row.due_at is not None
    assert row.due_at <= clock.now() + clock.MINUTE
