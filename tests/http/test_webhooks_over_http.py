"""The webhooks that an organization subscribes: put, shown, tested and deleted, each its own."""

from typing import Any

import pytest

from api_events import Answer, Logged, call
from fake_lambda import FakeLambda
from job_runners.engine.registry.registry import registry
from job_runners.settings import settings
from job_runners.shipped.jobs import post_webhook
from job_runners.shipped.webhooks.pinned_https import ResponseHead as Posted
from job_runners.store import webhooks
from sample_work import script
from stale_reads import catch_up

ACME = {"organization_id": "acme"}
WEBHOOK = {"url": "https://hooks.example.com/secret-path", "secret": "acme/main"}


@pytest.fixture(autouse=True)
def subscriptions(worker: FakeLambda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_PACKAGES", "sample_work,follow_up_sample")
    monkeypatch.setenv("WEBHOOK_SUBSCRIPTIONS", "true")
    settings.cache_clear()  # and not the clients, whose calls the worker takes
    registry.cache_clear()


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the webhooks that were posted, each with the id of its event. The receiver takes all
    but those of its path /down."""
    found: list[Any] = []

    def post(webhook: post_webhook.PostWebhook, event_id: str) -> Posted:
        found.append((webhook, event_id))
        return Posted(503 if webhook.url.endswith("/down") else 200, None)

    monkeypatch.setattr(post_webhook, "post_event", post)
    return found


def ask(method: str, path: str, body: Any = None, **query: str) -> Answer:
    return call(method, f"/webhooks{path}", body=body, query=ACME | query)


def run(worker: FakeLambda, organization_id: str = "acme") -> str:
    body = {"job_type": "sample_once", "payload": {"number": 1}, "organization_id": organization_id}
    job_id: str = call("POST", "/jobs", body=body).json["id"]
    worker.deliver()
    return job_id


def test_a_webhook_is_put_shown_replaced_and_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    logged = Logged(monkeypatch)
    created = ask("PUT", "/crm", WEBHOOK)
    assert created.status == 201
    shown = {"name": "crm", "statuses": None, "job_types": None, **WEBHOOK}
    assert created.json == created.json | shown
    assert created.json["updated_by"].startswith("service:")
    changed = ask("PUT", "/crm", WEBHOOK | {"statuses": ["failed"], "job_types": ["sample_once"]})
    assert changed.status == 200
    assert changed.json["statuses"] == ["failed"]
    assert changed.json["job_types"] == ["sample_once"]
    assert ask("GET", "").json == {"webhooks": [changed.json]}
    assert ask("PUT", "/crm", WEBHOOK).json["statuses"] is None
    assert ask("DELETE", "/crm").status == 204
    assert ask("GET", "").json == {"webhooks": []}
    lines = [*logged.lines("webhook put"), *logged.lines("webhook deleted")]
    assert [line["message"] for line in lines] == ["webhook put"] * 3 + ["webhook deleted"]
    for line in lines:
        assert line["caller"].endswith("campaign-service")
        assert (line["webhook"], line["organization_id"]) == ("crm", "acme")
    assert "secret-path" not in str(lines)


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", ""), ("POST", "/test")],
)
def test_a_webhook_of_another_organization_is_unknown(method: str, path: str) -> None:
    ask("PUT", "/crm", WEBHOOK)
    for name, organization_id in (("crm", "other"), ("sales", "acme")):
        answer = ask(method, f"/{name}{path}", organization_id=organization_id)
        assert (answer.status, answer.json["type"]) == (404, "urn:job-runners:webhook-not-found")
    assert ask("GET", "", organization_id="other").json == {"webhooks": []}
    assert len(ask("GET", "").json["webhooks"]) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": "http://hooks.example.com"}, "url"),
        ({"url": "https://ada@hooks.example.com"}, "url"),
        ({"url": "https://[::1]/"}, "url"),
        ({"url": "https://localhost:8443/hook"}, "url"),
        ({"url": "https://127.0.0.1/hook"}, "url"),
        ({"url": "https://0x7f.1/hook"}, "url"),
        ({"url": "https://10.1.2.3/hook"}, "url"),
        ({"url": "https://169.254.169.254/latest"}, "url"),
        ({"url": "https://hooks/in"}, "url"),
        ({"url": "https://Hooks.Acme.Internal./in"}, "url"),
        ({"secret": "other/main"}, "secret"),
        ({"secret": "main"}, "secret"),
        ({"statuses": ["running"]}, "statuses.0"),
        ({"statuses": []}, "statuses"),
        ({"job_types": []}, "job_types"),
        ({"headers": {}}, "headers"),
    ],
)
def test_a_webhook_that_could_not_be_told_is_refused(change: Any, field: str) -> None:
    answer = ask("PUT", "/crm", WEBHOOK | change)
    assert (answer.status, answer.json["type"]) == (422, "urn:job-runners:invalid-request")
    assert [each["field"] for each in answer.json["errors"]] == [field]
    assert ask("GET", "").json == {"webhooks": []}


def test_a_job_type_that_does_not_exist_is_refused() -> None:
    answer = ask("PUT", "/crm", WEBHOOK | {"job_types": ["sample_onec"]})
    assert (answer.status, answer.json["type"]) == (422, "urn:job-runners:unknown-job-type")


def test_an_organization_has_a_limited_number_of_webhooks() -> None:
    for number in range(webhooks.MAX_WEBHOOKS):
        webhooks.put("acme", str(number), by=None, **WEBHOOK)
    answer = ask("PUT", "/crm", WEBHOOK)
    assert (answer.status, answer.json["type"]) == (409, "urn:job-runners:too-many-webhooks")
    assert ask("PUT", "/3", WEBHOOK).status == 200
    assert ask("PUT", "/crm", WEBHOOK | {"secret": "b/c"}, organization_id="b").status == 201


def test_a_stack_without_subscriptions_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SUBSCRIPTIONS", "false")
    settings.cache_clear()
    answer = ask("PUT", "/crm", WEBHOOK)
    assert (answer.status, answer.json["type"]) == (409, "urn:job-runners:webhooks-off")
    assert "WebhookSubscriptions=true" in answer.json["detail"]


def test_a_test_is_delivered_as_events_are_and_announced_to_none(
    worker: FakeLambda, posted: list[Any]
) -> None:
    ask("PUT", "/crm", WEBHOOK)
    answer = ask("POST", "/crm/test")
    assert answer.status == 202
    assert answer.headers["location"] == f"/jobs/{answer.json['id']}"
    worker.deliver()
    ((webhook, event_id),) = posted
    assert (webhook.url, webhook.secret) == (WEBHOOK["url"], WEBHOOK["secret"])
    assert webhook.body == webhook.body | {
        "id": event_id,
        "type": "webhook.test",
        "data": {"organization_id": "acme", "webhook": "crm"},
    }
    catch_up()
    (job,) = call("GET", "/jobs", query=ACME).json["jobs"]
    assert (job["job_type"], job["status"]) == ("deliver_webhook", "succeeded")
    assert "secret-path" not in call("GET", f"/jobs/{job['id']}").text


def test_a_delivery_names_its_webhook_and_the_job_whose_end_it_tells(
    worker: FakeLambda, posted: list[Any]
) -> None:
    for name in ("crm", "sales"):
        ask("PUT", f"/{name}", WEBHOOK)
    job_id = run(worker)
    catch_up()
    found = call("GET", "/jobs", query=ACME | {"job_type": "deliver_webhook"}).json["jobs"]
    assert sorted(each["result_message"] for each in found) == ["webhook crm", "webhook sales"]
    assert [each["follow_up_of"] for each in found] == [job_id] * 2
    assert {each["status"] for each in found} == {"succeeded"}
    assert len(posted) == 2


def test_a_delivery_that_was_not_accepted_goes_to_the_new_url_and_none_after_a_delete(
    worker: FakeLambda, posted: list[Any]
) -> None:
    ask("PUT", "/crm", WEBHOOK | {"url": "https://hooks.example.com/down"})
    run(worker)
    run(worker)
    catch_up()
    last, first = call("GET", "/jobs", query=ACME | {"job_type": "deliver_webhook"}).json["jobs"]
    assert first["status"] == last["status"] == "retryable"
    answered = "webhook crm: the webhook at hooks.example.com answered 503"
    assert first["error"]["message"].startswith(answered)
    ask("PUT", "/crm", WEBHOOK)
    retry_now(worker, first["id"])
    assert [webhook.url[-5:] for webhook, _ in posted] == ["/down", "/down", "-path"]
    ask("DELETE", "/crm")
    retry_now(worker, last["id"])
    gone = call("GET", f"/jobs/{last['id']}").json
    assert (gone["status"], gone["error"]["message"]) == ("failed", "the webhook 'crm' was deleted")
    assert len(posted) == 3


def retry_now(worker: FakeLambda, job_id: str) -> None:
    call("POST", f"/jobs/{job_id}/cancel")
    call("POST", f"/jobs/{job_id}/retry")
    worker.deliver()


def no_luck(job: object, payload: object) -> None:
    raise ValueError("no luck")


def test_each_webhook_gets_only_what_it_has_subscribed(
    worker: FakeLambda, posted: list[Any]
) -> None:
    ask("PUT", "/failed", WEBHOOK | {"url": "https://a.example.com", "statuses": ["failed"]})
    ask("PUT", "/ends", WEBHOOK | {"url": "https://b.example.com", "job_types": ["note_end"]})
    run(worker)
    catch_up()
    assert (posted, len(call("GET", "/jobs", query=ACME).json["jobs"])) == ([], 1)
    script.job = no_luck
    run(worker)
    run(worker, "other")
    ((webhook, _),) = posted
    assert (webhook.url, webhook.body["type"]) == ("https://a.example.com", "job.failed")
