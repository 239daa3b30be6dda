"""The client and the real API, over HTTP."""

from datetime import UTC, datetime, timedelta

import pytest

from api_server import ApiServer
from job_runners import (
    Batch,
    BatchUnfinished,
    Client,
    Conflict,
    IdempotencyConflict,
    InvalidRequest,
    Job,
    JobFailed,
    NotFound,
    Rate,
    UniqueConflict,
    WrongState,
)
from job_runners.client.models import WaitsFor
from job_runners.client.queue_models import Limits
from job_runners.settings import forget
from job_runners.work import Recurring, RunningJob
from sample_work import Sample, failing, script
from stale_reads import catch_up


@pytest.fixture
def client(api_server: ApiServer) -> Client:
    """Return a client of the API, for one organisation."""
    return Client(url=api_server.url, region="us-east-1", organization_id="acme")


def test_a_job_is_dispatched_followed_and_its_result_had(client: Client) -> None:
    sent = client.dispatch("sample_once", {"number": 7}, queue_name="slow")
    assert (sent.status, sent.organization_id, sent.queue_name) == ("queued", "acme", "slow")
    told: list[Job] = []
    done = client.wait(sent, timeout=60, on_progress=told.append)
    assert done.get_result() == {"number": 1}
    assert done.payload == {"number": 7}
    assert told[-1] == done
    assert done.created_at is not None
    assert done.created_at.tzinfo is not None
    assert done.created_by == "service:user/campaign-service"


@pytest.mark.parametrize("key", ["order-17", ' "quoted" \\ ', "Bestellung 17 für Jörg", "k" * 255])
def test_the_same_dispatch_is_one_job_and_is_found_by_its_key(client: Client, key: str) -> None:
    first = client.dispatch("sample_once", {"number": 7}, idempotency_key=key)
    again = client.dispatch("sample_once", {"number": 7}, idempotency_key=key)
    assert (first.replayed, again.replayed) == (False, True)
    found = client.find(idempotency_key=key)
    assert found is not None
    assert found.id == first.id == again.id
    assert client.find(idempotency_key=key, organization_id="theirs") is None
    with pytest.raises(IdempotencyConflict, match="Use a new key") as refused:
        client.dispatch("sample_once", {"number": 8}, idempotency_key=key)
    assert refused.value.job_id == first.id


def test_a_job_that_is_unique_and_refused_names_the_one_that_has_its_place(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,unique_sample")
    forget()
    first = client.dispatch("unique_refuse", delay=3600)
    with pytest.raises(UniqueConflict, match="is unique") as refused:
        client.dispatch("unique_refuse")
    assert refused.value.job_id == first.id
    with pytest.raises(Conflict):  # it is a Conflict too
        client.dispatch("unique_refuse")
    client.cancel(first.id)
    second = client.dispatch("unique_refuse", delay=3600)
    with pytest.raises(UniqueConflict) as refused:
        client.retry(first.id)
    assert refused.value.job_id == second.id


def test_when_it_is_to_start_is_said_with_a_zone(client: Client) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    for job in (
        client.dispatch("sample_again", run_at=tomorrow),
        client.dispatch("sample_again", run_at=tomorrow.isoformat()),
        client.dispatch("sample_again", delay=timedelta(days=1)),
        client.dispatch("sample_again", delay=86400),
    ):
        assert job.status == "scheduled"
        assert job.run_at is not None
        assert abs(job.run_at - tomorrow) < timedelta(minutes=1)
        assert job.retry_after is not None
    with pytest.raises(ValueError, match="zone"):
        client.dispatch("sample_again", run_at=datetime(2026, 5, 1))  # noqa: DTZ001


def test_a_job_may_have_fewer_attempts_than_its_type_allows(client: Client) -> None:
    assert client.dispatch("sample_again").max_attempts == 3
    assert client.dispatch("sample_again", max_attempts=2).max_attempts == 2
    [sent] = client.dispatch_many([{"job_type": "sample_again", "max_attempts": 1}])
    assert sent.job is not None
    assert sent.job.max_attempts == 1


def test_what_can_be_done_with_a_job(client: Client) -> None:
    later = client.dispatch("sample_again", delay=3600)
    assert client.cancel(later.id).status == "canceled"
    assert client.retry(later.id).status == "queued"
    done = client.wait(later, timeout=60)
    with pytest.raises(WrongState, match="that failed or was canceled"):
        client.retry(done.id)
    timeline = client.timeline(done)
    assert [each.what for each in timeline.acts] == ["dispatched", "canceled", "retried"]
    assert [(each.kind, each.run, each.outcome) for each in timeline.records] == [
        ("invocation", 2, "succeeded")
    ]
    assert timeline.records[0].ended_at is not None
    assert (timeline.gaps, timeline.complete) == ((), True)
    again = client.rerun(done.id)
    assert again.id != done.id
    assert client.wait(again, timeout=60).succeeded
    client.delete(done.id)
    with pytest.raises(NotFound):
        client.get(done.id)
    with pytest.raises(NotFound):
        client.delete(done.id)
    for name in ("", "..", "."):
        with pytest.raises(ValueError, match="isn't a valid name or id"):
            client.get(name)


def test_a_job_that_fails_says_how(client: Client) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of paper")

    script.job = fail
    done = client.wait(client.dispatch("sample_once"), timeout=60)
    assert done.error is not None
    assert "out of paper" in (done.error.traceback or "")
    with pytest.raises(JobFailed, match="RuntimeError: out of paper"):
        done.get_result()


def test_jobs_are_listed_a_page_at_a_time(client: Client, api_server: ApiServer) -> None:
    ids = [client.dispatch("sample_once", {"number": each}).id for each in range(7)]
    client.dispatch("sample_once", organization_id="theirs")
    catch_up()
    listed = client.list(page_size=3)
    before = len(api_server.asked)
    assert next(listed).id == ids[-1]
    assert len(api_server.asked) == before + 1
    assert [each.id for each in listed] == ids[-2::-1]
    assert len(api_server.asked) == before + 3
    assert [each.id for each in client.list(search=ids[2][:12])] == [ids[2]]
    assert list(client.list(status="failed", job_type="sample_once", queue_name="q")) == []


def test_queues_are_limited_looked_at_and_have_the_codes_limits_again(client: Client) -> None:
    limited = client.limit_queue("slow", slots=1, rate=Rate(1, seconds=3600))
    assert limited.limits == Limits(1, Rate(1, 3600), None, "fifo", 10_000)
    assert limited.changed_by == "service:user/campaign-service"
    jobs = [client.dispatch("sample_once", {"number": 7}, queue_name="slow") for _ in range(3)]
    last = client.get(jobs[-1].id)
    assert last.waits_for == WaitsFor("line", "slow", "*")
    catch_up()
    place = client.place(last.id)
    assert (place.waits_for, place.ahead, place.more_ahead) == (last.waits_for, 1, False)
    queue = client.queue("slow")
    (key,) = queue.keys
    assert (key.key, key.waiting, key.holders) == ("*", 2, ())
    assert key.next_start_at is not None
    assert list(client.concurrency_keys("slow", page_size=1)) == [key]
    assert "slow" in [each.name for each in client.queues(page_size=3)]
    client.reset_queue("slow")
    assert client.queue("slow").limits is None
    assert client.wait(last, timeout=60).succeeded
    assert client.place(last.id).ahead is None
    with pytest.raises(InvalidRequest, match="slots"):
        client.limit_queue("slow", slots=101)
    with pytest.raises(NotFound):
        client.queue("a#b")


def test_schedules_are_put_looked_at_paused_run_and_deleted(client: Client) -> None:
    put = client.put_schedule(
        "a b", "sample_once", {"number": 7}, cron="0 2 * * *", timezone="Europe/Berlin"
    )
    assert put.words == "at 02:00 every day, Europe/Berlin"
    assert (put.origin, put.payload, put.paused, put.last) == ("api", {"number": 7}, False, None)
    assert len(put.next) == 5
    assert put.next[0].tzinfo is not None
    assert put.created_by == "service:user/campaign-service"
    for name in ("b", "c"):
        client.put_schedule(
            name, "sample_once", every=timedelta(hours=1), missed=3, overlap="allow"
        )
    client.put_schedule("a b", "sample_once", every=60, organization_id="theirs")
    listed = list(client.schedules(page_size=2))
    assert [(each.name, each.missed, each.payload) for each in listed] == [
        ("a b", "one", None),
        ("b", 3, None),
        ("c", 3, None),
    ]
    paused = client.pause_schedule("a b")
    assert (paused.paused, paused.paused_by, paused.next) == (True, put.created_by, ())
    done = client.wait(client.run_schedule("a b"), timeout=60)
    assert (done.payload, done.organization_id) == ({"number": 7}, "acme")
    keyed = [client.run_schedule("b", idempotency_key="now").id for _ in range(2)]
    assert keyed[0] == keyed[1]
    assert client.resume_schedule("a b").next == put.next
    client.delete_schedule("a b")
    with pytest.raises(NotFound):
        client.schedule("a b")
    with pytest.raises(NotFound):
        client.delete_schedule("a b")
    assert client.schedule("a b", organization_id="theirs").every == 60
    with pytest.raises(InvalidRequest, match="exactly one of cron and every"):
        client.put_schedule("d", "sample_once")
    with pytest.raises(ValueError, match="whole seconds"):
        client.put_schedule("d", "sample_once", every=60.5)


def test_webhooks_are_put_shown_tested_and_deleted(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Conflict, match="WebhookSubscriptions=true"):
        client.put_webhook("crm", "https://crm.example.com", "acme/main")
    monkeypatch.setenv("WEBHOOK_SUBSCRIPTIONS", "true")
    forget()
    put = client.put_webhook("a b", "https://crm.example.com", "acme/main", statuses=["failed"])
    assert (put.statuses, put.job_types) == (("failed",), None)
    assert client.webhooks() == (put,)
    test = client.test_webhook("a b")
    catch_up()
    assert [each.id for each in client.list(job_type="deliver_webhook")] == [test.id]
    assert client.webhooks(organization_id="theirs") == ()
    with pytest.raises(InvalidRequest):
        client.put_webhook("c", "http://crm.example.com", "acme/main")
    client.delete_webhook("a b")
    with pytest.raises(NotFound):
        client.delete_webhook("a b")
    assert client.webhooks() == ()


def test_a_schedule_of_the_code_is_not_changed_by_a_client(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = {"nightly": Recurring("sample_once", every=3600, organization_id="acme")}
    monkeypatch.setattr("sample_work.RECURRING", declared, raising=False)
    forget()
    with pytest.raises(Conflict, match="declared in code"):
        client.put_schedule("nightly", "sample_once", every=60)


def test_tasks_pauses_types_and_children(client: Client) -> None:
    assert client.dispatch_task("sample_note", {"text": "Hi"})
    pause = client.pause("queue", "slow")
    assert [(each.kind, each.name) for each in client.paused()] == [("queue", "slow")]
    assert pause.paused_at is not None
    assert (pause.waiting, pause.more_waiting, pause.oldest_waiting_since) == (0, False, None)
    client.resume("queue", "slow")
    assert client.paused() == ()
    assert "sample_once" in [each["name"] for each in client.job_types().jobs]
    assert script.tasks_run[0].text == "Hi"

    def dispatch_one(job: RunningJob, payload: Sample) -> None:
        if payload.text == "parent":
            job.dispatch("sample_once", {}, key="one")

    script.job = dispatch_one
    parent = client.wait(client.dispatch("sample_again", {"text": "parent"}), timeout=60)
    [child] = client.children(parent.id)
    assert child.key == "one"
    assert child.job is not None
    assert child.job.parent_id == parent.id


def test_what_is_wrong_with_a_request_is_said(client: Client) -> None:
    with pytest.raises(InvalidRequest, match="No job is named"):
        client.dispatch("sample_onze")
    with pytest.raises(InvalidRequest) as caught:
        client.dispatch("sample_once", {"number": "many"})
    assert caught.value.fields[0]["field"] == "payload.number"
    with pytest.raises(InvalidRequest):
        client.dispatch_task("nothing")


@pytest.mark.views
def test_a_failed_task_is_sent_again(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEP_TASK_PAYLOADS", "true")
    forget()
    script.task = failing
    task_id = client.dispatch_task("sample_note", {"text": "dear"})
    [failed] = list(client.failed_tasks())
    assert (failed.id, failed.error_kind) == (task_id, "ZeroDivisionError")
    assert (failed.payload, failed.redriven_at) == ({"text": "dear"}, None)
    script.reset()
    assert client.redrive_task(failed.id) not in (None, task_id)
    assert list(client.failed_tasks()) == []


def test_a_batch_is_dispatched_followed_and_its_members_are_listed(client: Client) -> None:
    script.job = lambda job, payload: 1 / payload.number
    members = [{"job_type": "sample_once", "payload": {"number": n}} for n in range(3)]
    sent = client.dispatch_batch(members, stop_after_failures=3, idempotency_key="may")
    assert (sent.total, sent.organization_id, sent.replayed) == (3, "acme", False)
    again = client.dispatch_batch(members, stop_after_failures=3, idempotency_key="may")
    assert (again.id, again.replayed) == (sent.id, True)
    told: list[Batch] = []
    done = client.wait_batch(sent, timeout=60, on_progress=told.append)
    assert (done.state, done.succeeded, done.failed, done.progress) == ("succeeded", 2, 1, 100)
    assert told[-1] == done == client.batch(sent.id)
    (failed,) = client.batch_members(sent.id, status="failed")
    assert failed.error is not None
    assert (failed.key, failed.error.kind) == ("000000", "ZeroDivisionError")
    assert [each.status for each in client.batch_members(sent.id, page_size=2)] == [
        *("failed", "succeeded", "succeeded")
    ]
    (group,) = client.groups(sent.id)
    assert (group.name, group.total, group.failed) == ("members", 3, 1)
    child = next(client.children(sent.id))
    assert child.job is not None
    assert (child.group, child.job.group) == ("members", "members")
    with pytest.raises(WrongState):
        client.cancel(sent.id, members=True)
    with pytest.raises(InvalidRequest) as refused:
        client.dispatch_batch([{"job_type": "sample_once", "payload": {"nmber": 1}}])
    assert refused.value.fields[0]["field"] == "members.0.payload.nmber"


def test_a_wait_for_a_batch_has_an_end(client: Client) -> None:
    late = client.dispatch("sample_once", delay=3600)  # the id of no batch
    with pytest.raises(NotFound):
        client.batch(late.id)
    script.job = lambda job, payload: job.sleep("long", 3600)
    sent = client.dispatch_batch([{"job_type": "sample_once"}])
    with pytest.raises(BatchUnfinished, match="1 of 1 members are open"):
        client.wait_batch(sent.id, timeout=0.2)
