"""The built-in follow-up `announce`: it tells webhooks, an event bus and a topic of each end."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.stub import Stubber
from pydantic import ValidationError

import follow_up_sample
import moto_items
from bench import Bench
from counted_units import Units
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine import configured
from job_runners.engine.job_data import JobData
from job_runners.engine.registry.registry import registry
from job_runners.engine.running.failure_records import handle_record
from job_runners.engine.wire.messages import JobMessage, encode
from job_runners.engine.wire.sending import CANNOT_SEND
from job_runners.shipped.jobs import post_webhook
from job_runners.shipped.webhooks.pinned_https import ResponseHead
from job_runners.store import blobs, limits, pauses, transitions, webhooks
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing import moto_direct
from job_runners.testing.aws import forget
from job_runners.work import Queue, Rate, RunningJob
from sample_work import script

WEBHOOK = {"webhook": "https://hooks.example.com/jobs", "secret": "acme/main"}
TOPIC = "arn:aws:sns:us-east-1:123456789012:outcomes"


@pytest.fixture
def bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,follow_up_sample")
    forget()
    return bench


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the events that receivers got: URL, id and body."""
    found: list[tuple[str, str, dict[str, Any]]] = []

    def post(webhook: post_webhook.PostWebhook, event_id: str) -> ResponseHead:
        found.append((webhook.url, event_id, webhook.body))
        return ResponseHead(200, None)

    monkeypatch.setattr(post_webhook, "post_event", post)
    return found


def no_luck(job: object, payload: object) -> None:
    raise ValueError("no luck")


def rows(**fields: Any) -> list[dict[str, Any]]:
    found = moto_direct.rows("jobs")
    return [row for row in found if all(row.get(name) == each for name, each in fields.items())]


def test_a_webhook_gets_the_end_of_a_job(bench: Bench, posted: list[Any]) -> None:
    row = bench.run(bench.dispatch("sample_once", on_end=WEBHOOK))
    bench.deliver()
    (announcement,) = rows(job_type="announce")
    ended_at = clock.iso(row.finished_at or 0)
    ((url, event_id, event),) = posted
    assert (url, event_id) == (WEBHOOK["webhook"], announcement["id"])
    assert event == {
        "version": 1,
        "id": announcement["id"],
        "type": "job.succeeded",
        "timestamp": event["timestamp"],
        "data": {
            "job_id": row.id,
            "job_type": "sample_once",
            "status": "succeeded",
            "error": None,
            "attempts": 1,
            "created_at": event["data"]["created_at"],
            "started_at": event["data"]["started_at"],
            "finished_at": event["timestamp"],
            "organization_id": "acme",
            "group": None,
        },
    }
    assert event["timestamp"][:19] == ended_at[:19]


def fail(bench: Bench, row: JobRequest) -> None:
    script.job = no_luck
    bench.run(row)


def kill(bench: Bench, row: JobRequest) -> None:
    message = JobMessage.about(row)
    deadline = clock.now() + 900_000
    transitions.claim(row.id, job_type=row.job_type, send_id=message.send_id, deadline=deadline)
    handle_record({"requestPayload": encode(message)}, bench.send)


def expire(bench: Bench, row: JobRequest) -> None:
    bench.advance(25 * 3600)
    bench.tick()


@pytest.mark.parametrize(
    ("end", "kind"), [(fail, "ValueError"), (kill, "Interrupted"), (expire, "NeverStarted")]
)
def test_a_webhook_gets_failures_whoever_records_them(
    bench: Bench, posted: list[Any], end: Any, kind: str
) -> None:
    end(bench, bench.dispatch("sample_once", on_failure=WEBHOOK))
    bench.deliver()
    ((_, _, event),) = posted
    assert (event["type"], event["data"]["error"]["kind"]) == ("job.failed", kind)


def test_a_delivery_is_a_job_that_is_never_announced_itself(
    bench: Bench, posted: list[Any], outputs: "Outputs"
) -> None:
    """The stack announces the end of every job, so each job but these has an announcement."""
    row = bench.run(bench.dispatch("sample_once", on_end=WEBHOOK))
    outputs.expect_event("job.succeeded")
    bench.deliver()
    (delivery,) = rows(job_type="post_webhook")
    (parent,) = [each for each in rows(job_type="announce") if each["id"] == delivery["parent_id"]]
    assert delivery["follow_up_of"] == parent["follow_up_of"] == row.id
    assert not {"on_end", "on_failure", "announcement"} & delivery.keys()
    assert (delivery["status"], len(rows())) == ("succeeded", 4)
    assert len(posted) == 1


def test_webhooks_may_have_limits_for_each_organization(
    bench: Bench, posted: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each organization, two announcements and a delivery may start in the first hour."""
    hourly = Queue(rate=Rate(1, seconds=3600, burst=3), per="organization_id")
    monkeypatch.setattr(follow_up_sample, "QUEUES", {"webhooks": hourly}, raising=False)
    forget()
    registry().resolve_all()
    for organization_id in ("acme", "acme", "beta"):
        secret = {"secret": f"{organization_id}/main"}
        follow_up = {"organization_id": organization_id, "on_end": WEBHOOK | secret}
        bench.run(bench.dispatch("sample_once", **follow_up))
    bench.deliver()
    delivered = rows(job_type="post_webhook", status="succeeded")
    assert sorted(each["organization_id"] for each in delivered) == ["acme", "beta"]
    for _ in range(3):
        bench.advance(3600)
        bench.tick()
        bench.deliver()
    assert len(posted) == 3
    assert not [each for each in rows() if each["status"] != "succeeded"]


def test_a_repeated_announcement_delivers_once(bench: Bench, posted: list[Any]) -> None:
    bench.run(bench.dispatch("sample_once", on_end=WEBHOOK))
    (announcement,) = rows(job_type="announce")
    bench.claim(bench.read(announcement["id"]))  # its worker dies
    bench.advance(1000)
    bench.tick()
    bench.run_out()
    bench.run_out()
    assert bench.read(announcement["id"]).attempt == 2
    assert len(rows(job_type="post_webhook")) == len(posted) == 1


@pytest.mark.parametrize(
    ("webhook", "why"),
    [
        ({"webhook": "http://hooks.example.com", "secret": "acme/main"}, "https://"),
        ({"webhook": "https://user@hooks.example.com", "secret": "acme/main"}, "user name"),
        ({"webhook": "https://hooks.example.com", "secret": "other/main"}, "one of acme/..."),
        ({"webhook": "https://hooks.example.com", "secret": "main"}, "pattern"),
        ({"webhook": "https://hooks.example.com"}, "required"),
        (WEBHOOK | {"headers": {}}, "not permitted"),
    ],
)
def test_a_webhook_that_could_not_be_told_is_refused_at_dispatch(
    bench: Bench, webhook: Any, why: str
) -> None:
    with pytest.raises(ValidationError, match=why):
        bench.dispatch("sample_once", on_end=webhook)
    assert rows() == []


def test_the_webhook_of_a_dispatch_may_be_passed_on_to_another() -> None:
    fields: dict[str, Any] = {"job_type": "sample_once", "organization_id": "acme"}
    data = JobData(**fields, on_end=WEBHOOK)
    assert JobData(**fields, on_end=data.on_end) == data


# --- the stack's event bus and topic --------------------------------------------------------------


class Outputs:
    """The event bus and the topic, with what each is to get."""

    def __init__(self) -> None:
        self.bus = Stubber(clients.client("events"))
        self.topic = Stubber(clients.client("sns"))
        self.events: list[dict[str, Any]] = []

    def expect_event(self, kind: str, failed: int = 0) -> None:
        """Expect an event on the bus. It is refused if `failed`."""
        entry = {"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"} if failed else {}
        answer = {"FailedEntryCount": failed, "Entries": [entry]}
        bus = {"EventBusName": "outcomes", "Source": "job-runners", "DetailType": "Job ended"}
        self.bus.add_response("put_events", answer, {"Entries": [bus | {"Detail": Event(kind)}]})

    def expect_message(self, kind: str, job_type: str) -> None:
        """Expect a message to the topic."""
        named = {"type": kind, "job_type": job_type, "organization_id": "acme"}
        attributes = {
            name: {"DataType": "String", "StringValue": each} for name, each in named.items()
        }
        message = {"TopicArn": TOPIC, "Message": Event(kind), "MessageAttributes": attributes}
        self.topic.add_response("publish", {"MessageId": "m"}, message)


class Event(str):
    """The JSON of an event of this type."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and json.loads(other)["type"] == str(self)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


@pytest.fixture
def outputs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outputs]:
    monkeypatch.setenv("EVENT_BUS_NAME", "outcomes")
    forget()
    found = Outputs()
    with found.bus, found.topic:
        yield found
        found.bus.assert_no_pending_responses()
        found.topic.assert_no_pending_responses()


def test_each_end_is_told_to_the_event_bus_and_the_topic(
    bench: Bench, outputs: Outputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTCOME_TOPIC_ARN", TOPIC)
    settings_forget()
    for kind in ("job.succeeded", "job.failed"):
        outputs.expect_event(kind)
        outputs.expect_message(kind, "sample_once")
    bench.run(bench.dispatch("sample_once"))
    deliver(bench)
    fail(bench, bench.dispatch("sample_once"))
    deliver(bench)
    assert [row["status"] for row in rows(job_type="announce")] == ["succeeded"] * 2


def deliver(bench: Bench) -> None:
    """Run what was sent, but nothing that is sent again later."""
    messages, bench.sent = bench.sent, []
    for message, _ in messages:
        bench.run_message(message)


def settings_forget() -> None:
    from job_runners.settings import settings

    settings.cache_clear()  # and not the clients


def test_a_refused_event_is_put_again(bench: Bench, outputs: Outputs) -> None:
    outputs.expect_event("job.succeeded", failed=1)
    outputs.expect_event("job.succeeded")
    bench.run(bench.dispatch("sample_once"))
    deliver(bench)
    (announcement,) = rows(job_type="announce")
    assert announcement["status"] == "retryable"
    assert json.loads(announcement["error"])["kind"] == "EventRefused"
    bench.advance(3600)
    bench.tick()
    bench.deliver()
    assert bench.read(announcement["id"]).status is Status.SUCCEEDED


def test_a_stack_without_outputs_stores_and_sends_nothing(bench: Bench) -> None:
    row = bench.run(bench.dispatch("sample_once"))
    assert (row.announcement, row.ends, len(rows())) == (None, None, 1)


def test_a_job_that_has_an_announcement_also_has_its_own_follow_ups(
    bench: Bench, outputs: Outputs
) -> None:
    row = bench.dispatch("followed_once")
    fail(bench, row)
    types = sorted(each["job_type"] for each in rows(follow_up_of=row.id))
    assert types == ["announce", "note_end", "note_failure"]
    (told,) = rows(follow_up_of=row.id, job_type="announce")
    assert "webhook" not in blobs.get(told["payload"], None)


def test_a_runner_that_cannot_send_again_announces_nothing(
    bench: Bench, outputs: Outputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured, "sender", lambda: CANNOT_SEND)
    assert bench.dispatch("sample_once").announcement is None


# --- the webhooks that an organization has subscribed ---------------------------------------------


@pytest.fixture
def subscribed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Subscribe a webhook to all ends of an organization, and another one to its failures."""
    monkeypatch.setenv("WEBHOOK_SUBSCRIPTIONS", "true")
    forget()
    subscribe("all")
    subscribe("failures", statuses=["failed"])


def subscribe(name: str, **fields: Any) -> None:
    url = f"https://{name}.example.com"
    webhooks.put("acme", name, by=None, url=url, secret="acme/main", **fields)


@pytest.mark.parametrize(
    ("end", "kind", "receivers"),
    [
        (Bench.run, "job.succeeded", ["all"]),
        (fail, "job.failed", ["all", "failures"]),
        (kill, "job.failed", ["all", "failures"]),
        (expire, "job.failed", ["all", "failures"]),
    ],
)
@pytest.mark.usefixtures("subscribed")
def test_each_webhook_gets_the_ends_that_it_has_subscribed(
    bench: Bench, posted: list[Any], end: Any, kind: str, receivers: list[str]
) -> None:
    row = bench.dispatch("sample_once")
    end(bench, row)
    bench.advance(61)
    bench.tick()
    bench.deliver()
    (announcement,) = rows(job_type="announce")
    expected = [(f"https://{each}.example.com", announcement["id"]) for each in receivers]
    assert sorted(each[:2] for each in posted) == expected
    assert {body["type"] for _, _, body in posted} == {kind}
    deliveries = rows(job_type="deliver_webhook")
    assert {each["parent_id"] for each in deliveries} == {announcement["id"]}
    assert {each["follow_up_of"] for each in deliveries} == {row.id}
    assert len(rows()) == 2 + len(receivers)  # none of them is announced itself


@pytest.mark.usefixtures("subscribed")
def test_an_announcement_that_is_repeated_delivers_once_to_each(
    bench: Bench, posted: list[Any]
) -> None:
    fail(bench, bench.dispatch("sample_once"))
    bench.sent.clear()  # its message is lost, and later its worker dies after the first delivery
    (announcement,) = rows(job_type="announce")
    bench.advance(61)
    bench.tick()

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transitions, "succeed", die)
        with pytest.raises(KeyboardInterrupt):
            bench.run_message(bench.sent.pop(0)[0])
    bench.advance(1000)
    bench.tick()
    bench.run_out()
    bench.run_out()
    assert bench.read(announcement["id"]).attempt == 2
    assert len(posted) == len(rows(job_type="deliver_webhook")) == 2


@pytest.mark.usefixtures("subscribed")
def test_a_job_that_no_webhook_waits_for_is_not_announced(bench: Bench) -> None:
    webhooks.delete("acme", "all")
    row = bench.run(bench.dispatch("sample_once"))
    assert row.announcement == row.announcement | {"statuses": ["failed"]}
    subscribe("failures", job_types=["sample_again"])
    other = bench.run(bench.dispatch("sample_once"))
    foreign = bench.run(bench.dispatch("sample_again", organization_id="other"))
    assert (other.announcement, foreign.announcement, len(rows())) == (None, None, 3)


@pytest.mark.usefixtures("subscribed")
def test_jobs_of_schedules_and_of_other_jobs_are_announced_too(
    bench: Bench, posted: list[Any]
) -> None:
    def parent(job: RunningJob, payload: Any) -> None:
        script.reset()
        job.dispatch("sample_once", {"number": 2}, key="one")
        job.dispatch_many("sample_once", [("two", {"number": 3})])

    script.job = parent
    bench.run(bench.dispatch("sample_once"))
    bench.deliver()
    assert len(posted) == 3


@pytest.mark.usefixtures("subscribed")
def test_a_dispatch_reads_the_webhooks_at_most_every_10_seconds(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def announced() -> bool:
        return bench.dispatch("sample_once").announcement is not None

    assert announced()
    for name in ("all", "failures"):  # another process deletes them
        moto_items.delete("coordination", {"pk": {"S": "webhooks#acme"}, "sk": {"S": name}})
    bench.advance(9.9)
    bench.dispatch("sample_once", organization_id="other")
    assert announced()
    bench.advance(0.1)
    assert not announced()


@pytest.mark.usefixtures("subscribed")
def test_a_process_keeps_the_webhooks_of_a_limited_number_of_organizations(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "_MAX_CACHED", 2)
    for name in ("acme", "b", "c", "d"):
        bench.dispatch("sample_once", organization_id=name)
    assert len(webhooks._cache) <= 2


# --- costs ----------------------------------------------------------------------------------------


@pytest.fixture
def life(bench: Bench) -> Callable[..., tuple[int, int]]:
    """Return a function that runs a job and all that follows. It returns the units that are written
    and the reads, beyond those of a job that isn't announced."""
    units = Units()

    def live(**fields: Any) -> tuple[int, int]:
        limits.current(), pauses.current(), webhooks.announced_ends("acme", "sample_once")
        units.spent()
        units.reads = 0
        bench.run_message(JobMessage.about(bench.dispatch("sample_once", **fields)))
        bench.deliver()
        return units.spent() - 6, units.reads

    return live


def test_a_job_that_is_not_announced_costs_nothing_more(life: Callable[..., Any]) -> None:
    assert life() == (0, 0)


def test_the_bus_and_the_topic_cost_a_follow_up_and_a_step_each(
    outputs: Outputs, life: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs.expect_event("job.succeeded")
    bus = life()
    monkeypatch.setenv("OUTCOME_TOPIC_ARN", TOPIC)
    settings_forget()
    outputs.expect_event("job.succeeded")
    outputs.expect_message("job.succeeded", "sample_once")
    assert (bus, life()) == ((2 + 6 + 1, 2), (2 + 6 + 2, 3))


@pytest.mark.usefixtures("posted")
def test_subscriptions_cost_a_follow_up_and_a_delivery_each(
    subscribed: None, life: Callable[..., Any]
) -> None:
    one = life()
    subscribe("another")
    two = life()
    for name in ("all", "another"):
        webhooks.delete("acme", name)
    none = life()  # the other webhook gets only failures
    assert (one, two, none) == ((2 + 6 + 7, 4), (2 + 6 + 2 * 7, 6), (0, 0))


@pytest.mark.usefixtures("posted")
def test_a_webhook_of_a_dispatch_costs_a_follow_up_and_a_delivery(
    life: Callable[..., Any],
) -> None:
    assert life(on_end=WEBHOOK) == (2 + 6 + 7, 2)
