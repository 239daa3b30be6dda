"""What each function asks of AWS, held against what the template lets it do: no less, no more."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, cast

import pytest

import follow_up_sample
import job_runners.handlers.worker
import unique_sample
from api_events import Answer, call
from every_route import SCHEDULE, WEBHOOK
from expanded_template import Template, allowed, deployed
from fake_lambda import FakeLambda
from job_runners import clock
from job_runners.aws import bucket, clients
from job_runners.engine.registry.registry import registry
from job_runners.engine.schedules import recurring
from job_runners.engine.settling import group_ends
from job_runners.errors import MissingObject
from job_runners.settings import forget, settings
from job_runners.shipped.jobs import post_webhook
from job_runners.shipped.webhooks.pinned_https import ResponseHead as Posted
from job_runners.store import pauses, transitions
from job_runners.store.groups import Group
from job_runners.store.job_request import JobRequest, Status
from job_runners.testing.aws import ENVIRONMENT, WORKER_ARN
from job_runners.testing.lambda_context import Context
from job_runners.testing.movable_clock import MovableClock
from job_runners.work import Member
from job_runners.work.recurring import Recurring
from sample_work import failing, script
from worker_log import make_worker_log

pytestmark = pytest.mark.views  # lists of what was just done

LARGE = {"text": random.Random(0).randbytes(20_000).hex()}
TABLES = {
    ENVIRONMENT["JOBS_TABLE_NAME"]: "JobsTable",
    ENVIRONMENT["COORDINATION_TABLE_NAME"]: "CoordinationTable",
}
ACME = "organization_id=acme"
FUNCTIONS = ("ApiFunction", "WorkerFunction", "TimerFunction", "FailuresFunction")

TIMER = WORKER_ARN.replace("worker:live", "timer")

Asked = tuple[str, str, str]  # function, action, resource


class Recorder:
    """Every AWS request, as a policy names it."""

    def __init__(self) -> None:
        self.asked: set[Asked] = set()
        self._function: str | None = None
        for service in ("dynamodb", "lambda", "logs", "sqs", "s3"):
            clients.client(service).meta.events.register(
                f"provide-client-params.{service}.*", self._record
            )

    @contextmanager
    def running(self, function: str) -> Iterator[None]:
        """Yield what is asked meanwhile is asked by this function."""
        before, self._function = self._function, function
        try:
            yield
        finally:
            self._function = before

    def _record(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        if self._function is not None:
            for action, resource in _needs(model.name, params):
                self.asked.add((self._function, action, resource))


def _needs(operation: str, params: dict[str, Any]) -> list[tuple[str, str]]:
    match operation:
        case "Invoke":
            is_own = params["FunctionName"] == TIMER
            invoked = "TimerFunction" if is_own else "WorkerFunctionAliaslive"
            return [("lambda:InvokeFunction", invoked)]
        case "FilterLogEvents":
            return [("logs:FilterLogEvents", "WorkerLogGroup")]
        case "SendMessage":
            return [("sqs:SendMessage", "DelayQueue")]
        case "ListObjectsV2":
            return [("s3:ListBucket", "Bucket")]
        case "DeleteObjects":
            keys = [each["Key"] for each in params["Delete"]["Objects"]]
            return [("s3:DeleteObject", f"Bucket/{key}") for key in keys]
        case "HeadObject":
            return [("s3:GetObject", f"Bucket/{params['Key']}")]
        case "GetObject" | "PutObject" | "DeleteObject":
            return [(f"s3:{operation}", f"Bucket/{params['Key']}")]
        case "TransactWriteItems":
            items = [next(iter(each.items())) for each in params["TransactItems"]]
            return [(f"dynamodb:{kind}Item", TABLES[item["TableName"]]) for kind, item in items]
    tables = [params["TableName"]] if "TableName" in params else params["RequestItems"]
    index = f"/index/{params['IndexName']}" if "IndexName" in params else ""
    return [(f"dynamodb:{operation}", TABLES[each] + index) for each in tables]


@pytest.fixture(scope="module")
def template() -> Template:
    """Return the template as it is deployed when nothing is said."""
    return deployed()


class Stack:
    """The functions beside each other on moto, each asking in its own name."""

    def __init__(self, worker: FakeLambda) -> None:
        self.recorder = Recorder()
        self._worker = worker

    def api(self, method: str, path: str, **parts: Any) -> Answer:
        """Return a request, answered as it should be."""
        with self.recorder.running("ApiFunction"):
            answer = call(method, path, **parts)
        assert answer.status < 300, answer.text
        return answer

    def job(self, job_type: str = "sample_once", **fields: Any) -> str:
        """Return the path of a job that was dispatched."""
        body = {"job_type": job_type, "organization_id": "acme", **fields}
        return self.api("POST", "/jobs", body=body).headers["location"]

    def work(self) -> None:
        """Deliver what was sent."""
        with self.recorder.running("WorkerFunction"):
            self._worker.deliver()

    def run_first(self) -> None:
        """Deliver only the message that was sent first."""
        others = self._worker.events[1:]
        del self._worker.events[1:]
        with self.recorder.running("WorkerFunction"):
            job_runners.handlers.worker.handler(self._worker.events.pop(), cast(Any, Context()))
        self._worker.events[:0] = others

    def kill(self) -> dict[str, Any]:
        """Deliver the message that was sent first to a worker that is killed in it; return it."""

        def killed(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        script.job = lambda job, payload: None
        event = self._worker.events[0]
        with self.recorder.running("WorkerFunction"), pytest.MonkeyPatch.context() as patch:
            patch.setattr(transitions, "succeed", killed)
            with pytest.raises(KeyboardInterrupt):
                self._worker.deliver()
        return cast(dict[str, Any], event)

    def drop(self) -> dict[str, Any]:
        """Lose the message that was sent first; return it."""
        return cast(dict[str, Any], self._worker.events.pop(0))

    def settle(self, event: dict[str, Any]) -> None:
        """Have the failures function read the record of an event that Lambda gave up on."""
        from job_runners.handlers import failures  # its import needs a configured environment

        context = {"condition": "RetriesExhausted", "functionArn": "worker"}
        record = {"requestContext": context, "requestPayload": event}
        sent = {"Records": [{"messageId": "m", "body": json.dumps(record)}]}
        with self.recorder.running("FailuresFunction"):
            assert failures.handler(sent, cast(Any, Context())) == {"batchItemFailures": []}

    def tick(self) -> None:
        """Let the minute come round."""
        from job_runners.handlers import timer  # its import needs a configured environment

        context = cast(Any, Context(function=TIMER))
        with self.recorder.running("TimerFunction"):
            timer.handler({}, context)
            helped = [event for event in self._worker.events if "v" not in event]
            for event in helped:  # with which it has invoked itself
                self._worker.events.remove(event)
                timer.handler(event, context)


@pytest.fixture
def asked(worker: FakeLambda, monkeypatch: pytest.MonkeyPatch) -> set[Asked]:
    """Return what the functions ask for when everything is done that can be."""
    time = MovableClock()
    monkeypatch.setattr(clock, "now", time.now)
    monkeypatch.setenv("KEEP_TASK_PAYLOADS", "true")
    monkeypatch.setenv("MAX_UNFINISHED_JOBS", "1000")
    forget()
    make_worker_log(monkeypatch)
    stack = Stack(worker)
    do_everything(stack, time)
    return stack.recorder.asked


def do_everything(stack: Stack, time: MovableClock) -> None:
    """Jobs with steps, children and much to carry; every request on them; a pause and its end."""

    def parent(job: Any, payload: Any) -> Any:
        if payload.text:
            job.step("one", lambda: LARGE)
            job.dispatch("sample_once", {"number": 2}, key="small")
            job.dispatch("sample_once", {"text": "", "number": 3}, key="another")
            job.dispatch_task("sample_note", {"text": "hello"})
        return LARGE

    def large_child(job: Any, payload: Any) -> Any:
        if payload.number != 2:
            script.job = parent
            job.dispatch("sample_once", {**LARGE, "number": 2}, key="large")

    script.job = large_child
    stack.job()
    stack.work()
    script.job = parent
    done = stack.job(payload=LARGE)
    stack.work()
    assert stack.api("GET", done).json["status"] == "succeeded"
    stack.api("GET", f"{done}/children")
    stack.api("GET", f"{done}/logs")
    stack.api("POST", f"{done}/rerun")
    stack.api("DELETE", done)

    script.job = lambda job, payload: 1 / 0
    failed = stack.job(payload=LARGE)
    again = stack.job("sample_again")
    stack.work()
    stack.api("GET", "/jobs", query="organization_id=acme")
    stack.api("GET", "/jobs", query="organization_id=acme&status=failed")
    script.job = lambda job, payload: None
    stack.api("POST", f"{failed}/retry")
    stack.work()
    stack.api("POST", f"{again}/cancel")
    stack.api("POST", f"{stack.job(delay=600)}/cancel")

    script.task = failing
    stack.api("POST", "/tasks", body={"task_name": "sample_note"})
    stack.work()
    script.reset()
    (task,) = stack.api("GET", "/tasks/failed").json["tasks"]
    stack.api("POST", f"/tasks/failed/{task['id']}/redrive")
    stack.work()
    assert stack.api("GET", "/tasks/failed").json["tasks"] == []

    stack.api("POST", "/tasks", body={"task_name": "sample_note"})
    stack.settle(stack.drop())

    held_by_worker = stack.job()
    due = stack.job(delay=600)
    stack.api("PUT", "/paused/queue/default")
    stack.work()
    time.advance(15 * 60)
    stack.tick()
    assert {stack.api("GET", each).json["status"] for each in (held_by_worker, due)} == {"waiting"}
    stack.api("DELETE", "/paused/queue/default")
    stack.api("PUT", "/paused/queue/default")
    stack.work()
    pauses.resume(pauses.Kind.QUEUE, "default")
    stack.tick()  # admits what the worker has held again
    stack.work()
    assert {stack.api("GET", each).json["status"] for each in (held_by_worker, due)} == {
        "succeeded"
    }
    use_a_queue_with_limits(stack, time)
    start_what_recurs(stack, time)
    use_unique_work(stack, time)
    use_follow_ups(stack, time)
    use_webhooks(stack)
    use_signals(stack, time)
    use_groups(stack, time)
    use_batches(stack)


def start_what_recurs(stack: Stack, time: MovableClock) -> None:
    """Schedules that are put, changed and deleted; occurrences, alone and many at once; one that is
    declared."""
    script.reset()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recurring, "_MAX_WITHOUT_HELP", 2)  # for more, the timer invokes itself
        hourly = Recurring("sample_once", every=3600, organization_id="acme")
        patch.setitem(cast(Any, registry().recurring), "nightly", hourly)
        every_two = {**SCHEDULE, "missed": 2, "overlap": "allow"}
        for name, body in (("0", SCHEDULE), ("1", SCHEDULE), ("2", SCHEDULE), ("each", every_two)):
            stack.api("PUT", f"/schedules/{name}", body=body, query=ACME)
        stack.api("PUT", "/schedules/0/paused", query=ACME)
        stack.api("DELETE", "/schedules/0/paused", query=ACME)
        stack.api("POST", "/schedules/0/run", query=ACME)
        stack.api("DELETE", "/schedules/0", query=ACME)
        for _ in range(2):
            time.advance(2 * 3600)
            stack.tick()
            stack.work()
    listed = stack.api("GET", "/schedules", query=ACME).json["schedules"]
    started = {each["name"]: each["started"] for each in listed}
    assert (started["1"], started["2"], started["each"]) == (2, 2, 4)
    assert started["nightly"] > 0
    assert stack.api("GET", "/schedules/nightly", query=ACME).json["last"]["job"]


def use_unique_work(stack: Stack, time: MovableClock) -> None:
    """Jobs of which there is one at a time: asked for twice, by callers, jobs and the clock; ones
    that follow others, which are killed, or which left their records."""

    def ended_by_older_code(path: str) -> None:
        row = JobRequest.get(path.rpartition("/")[2])
        removed = [each.remove() for each in (JobRequest.due_at, JobRequest.held_by)]
        row.update([JobRequest.status.set(Status.CANCELED), *removed])

    def children(job: Any, payload: Any) -> None:
        script.reset()
        for key in ("one", "the same"):
            job.dispatch("unique_return", {"lot": "of a job"}, key=key)

    hourly = Recurring("unique_return", every=3600, organization_id="acme")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("unique_return", "unique_follow"):
            patch.setitem(cast(Any, registry().jobs), name, unique_sample.JOBS[name])
        patch.setitem(cast(Any, registry().recurring), "unique", hourly)
        for key in ("one", "the same"):
            stack.job("unique_return", idempotency_key=key)
        script.job = children
        stack.job()
        stack.work()
        stack.work()

        stack.job("unique_follow")
        killed = stack.kill()
        ended_by_older_code(stack.job("unique_follow"))
        stack.settle(killed)

        first = stack.job("unique_follow")
        stack.kill()
        follows = stack.job("unique_follow")
        ended_by_older_code(first)
        for _ in range(2):
            time.advance(3600)
            stack.tick()
        stack.work()
        assert stack.api("GET", follows).json["status"] == "succeeded"
    replace_a_large_payload(stack, time)


def use_follow_ups(stack: Stack, time: MovableClock) -> None:
    """Jobs with follow-ups, which each function ends."""
    with pytest.MonkeyPatch.context() as patch:
        note = follow_up_sample.JOBS["note_end"]
        patch.setitem(cast(Any, registry().jobs), "note_end", note)
        stack.work()  # what is left of before
        follow_up_sample.told.clear()
        script.reset()
        stack.job(on_end="note_end")
        stack.settle(stack.kill())
        stack.work()
        stack.api("POST", f"{stack.job(on_end='note_end')}/cancel")
        stack.job(on_end="note_end")
        stack.work()
        stack.job(on_end="note_end")
        stack.kill()
        time.advance(17 * 60)
        stack.tick()
        stack.work()
    told = [payload.status for _, payload in follow_up_sample.told]
    assert told == ["failed", "canceled", "succeeded", "failed"]


def use_webhooks(stack: Stack) -> None:
    """A webhook that an organization has subscribed, and which gets an end and a test."""
    posted: list[str] = []

    def post(webhook: post_webhook.PostWebhook, event_id: str) -> Posted:
        posted.append(webhook.body["type"])
        return Posted(200, None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WEBHOOK_SUBSCRIPTIONS", "true")
        patch.setattr(post_webhook, "post_event", post)
        settings.cache_clear()
        stack.api("PUT", "/webhooks/crm", body=WEBHOOK | {"secret": "acme/main"}, query=ACME)
        stack.job()
        stack.work()
        stack.api("POST", "/webhooks/crm/test", query=ACME)
        stack.work()
        stack.api("GET", "/webhooks", query=ACME)
        deliveries = f"{ACME}&job_type=deliver_webhook"
        assert len(stack.api("GET", "/jobs", query=deliveries).json["jobs"]) == 2
        stack.api("DELETE", "/webhooks/crm", query=ACME)
    settings.cache_clear()
    assert posted == ["job.succeeded", "webhook.test"]


def use_signals(stack: Stack, time: MovableClock) -> None:
    """Jobs that wait for signals: one comes by a link, another doesn't, a third is one of two."""
    urls: list[str] = []

    def wait(job: Any, payload: Any) -> Any:
        if payload.number:
            return job.wait_for("late", timeout=600)
        urls.append(job.signal_url("go", text="Go?", timeout=600))
        assert job.wait_for("go", timeout=600) == LARGE
        return job.wait_for_any(["a", "b"], timeout=600, label="either")[0]

    script.job = wait
    answered = stack.job(payload={"number": 0})
    late = stack.job(payload={"number": 1})
    stack.work()
    link = urls[0].removeprefix("https://jobs.example")
    stack.api("GET", link)
    for method, path, body in (
        ("POST", link, LARGE),
        ("PUT", f"{answered}/signals/b", {"value": LARGE}),
    ):
        assert stack.api("GET", answered).json["status"] == "waiting"
        for _ in range(2):
            stack.api(method, path, body=body)
        stack.work()
    assert stack.api("GET", answered).json["result"] == "b"
    stack.api("DELETE", answered)
    time.advance(700)
    stack.tick()
    stack.work()
    assert stack.api("GET", late).json["error"]["kind"] == "WaitTimedOut"


def use_groups(stack: Stack, time: MovableClock) -> None:
    """Groups whose members each function ends, and which each function continues."""
    members = [Member("sample_once", {"number": number}) for number in (1, 2, 3)]

    def gather(job: Any, payload: Any) -> Any:
        if payload.number:
            return payload.number
        results = job.gather("all", iter(members), stop_after_failures=1)
        return [each.status for each in results]

    def begun() -> str:
        script.job = gather
        path = stack.job(payload={"number": 0})
        stack.run_first()
        return path

    def result(path: str) -> Any:
        script.job = gather
        stack.work()
        return sorted(stack.api("GET", path).json["result"])

    stopped = begun()
    stack.settle(stack.kill())
    assert result(stopped) == ["canceled", "canceled", "failed"]
    stack.api("DELETE", stopped)

    retried = begun()
    group_id = JobRequest.get(retried.rpartition("/")[2]).last_group_id or ""
    member = f"/jobs/{Group(group_id, 1).member_id('000002')}"
    stack.api("POST", f"{member}/cancel")
    stack.api("POST", f"{member}/retry")
    assert result(retried) == ["succeeded"] * 3

    rescued = begun()
    stack.kill()
    time.advance(17 * 60)
    stack.tick()
    assert result(rescued) == ["canceled", "canceled", "failed"]

    unmarked = begun()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_ends, "record_member_end", lambda row, send: None)
        stack.work()
    time.advance(2 * 60)
    stack.tick()
    assert result(unmarked) == ["succeeded"] * 3


def use_batches(stack: Stack) -> None:
    """Batches whose members come in a file, or with a large request."""
    script.job = lambda job, payload: None
    line = {"job_type": "sample_once", "payload": {"number": 2}}
    bucket.put_bytes("uploads/acme/may.jsonl", json.dumps(line).encode())
    in_file: dict[str, Any] = {"members_file": "uploads/acme/may.jsonl", "idempotency_key": "may"}
    large = {"members": [{**line, "payload": LARGE}], "idempotency_key": "june"}
    for given in (in_file, large):
        body = {"organization_id": "acme", **given}
        batch = stack.api("POST", "/batches", body=body).headers["location"]
        stack.work()
        assert stack.api("GET", batch).json["state"] == "succeeded"
        (member,) = stack.api("GET", f"{batch}/members").json["members"]
        stack.api("DELETE", f"/jobs/{member['id']}")
        assert stack.api("GET", f"{batch}/members").json["members"][0]["job"] is None


def replace_a_large_payload(stack: Stack, time: MovableClock) -> None:
    """Have an occurrence replace a job whose payload is in the bucket."""
    hourly = Recurring("unique_replace", every=3600, organization_id="acme")
    with pytest.MonkeyPatch.context() as patch:
        replaced = unique_sample.JOBS["unique_replace"]
        patch.setitem(cast(Any, registry().jobs), "unique_replace", replaced)
        patch.setitem(cast(Any, registry().recurring), "replacing", hourly)
        path = stack.job("unique_replace", payload=LARGE, delay=4 * 3600)
        key = JobRequest.get(path.rpartition("/")[2]).payload_key or ""
        assert bucket.get_bytes(key)
        for _ in range(2):  # the first declares it
            stack.tick()
            time.advance(3600)
        stack.tick()
        assert stack.api("GET", path).json["payload"] == {}
        with pytest.raises(MissingObject):
            bucket.get_bytes(key)


def use_a_queue_with_limits(stack: Stack, time: MovableClock) -> None:
    """Jobs that wait in line while one runs, or is killed; what is asked about them, and limits
    that change."""
    stack.api("PUT", "/queues/narrow", body={"slots": 1})
    jobs = [stack.job(queue_name="narrow") for _ in range(4)]
    seen: list[str] = []

    def first(job: Any, payload: Any) -> None:
        if not seen:
            seen.append(job.id)
            stack.work()
            assert stack.api("GET", f"{jobs[3]}/place").json["ahead"] == 2
            stack.api("GET", "/queues")
            stack.api("GET", "/backlog")
            stack.api("POST", f"{jobs[3]}/cancel")
            stack.api("PUT", "/queues/narrow", body={"slots": 2})

    script.job = first
    stack.work()
    statuses = [stack.api("GET", each).json["status"] for each in jobs]
    assert statuses == ["succeeded"] * 3 + ["canceled"]

    stack.api("PUT", "/queues/narrow", body={"slots": 1})
    _, waiting = stack.job(queue_name="narrow"), stack.job(queue_name="narrow")
    killed = stack.kill()
    stack.work()
    assert stack.api("GET", waiting).json["status"] == "waiting"
    stack.settle(killed)  # and admits who waits
    stack.work()
    assert stack.api("GET", waiting).json["status"] == "succeeded"

    _, waiting = stack.job(queue_name="narrow"), stack.job(queue_name="narrow")
    stack.kill()
    stack.work()
    time.advance(17 * 60)
    stack.tick()  # rescues, and admits who waits
    stack.work()
    assert stack.api("GET", waiting).json["status"] == "succeeded"
    stack.api("DELETE", "/queues/narrow")


def test_every_request_that_a_function_makes_is_allowed_to_it(
    template: Template, asked: set[Asked]
) -> None:
    for function in FUNCTIONS:
        rules = allowed(template, function)
        refused = {
            (action, resource)
            for who, action, resource in asked
            if who == function
            and not any(
                action == its_action and fnmatchcase(resource, pattern)
                for its_action, pattern in rules
            )
        }
        assert not refused, f"{function} may not {json.dumps(sorted(refused))}"


def test_no_function_may_do_more_with_rows_than_it_does(
    template: Template, asked: set[Asked]
) -> None:
    for function in FUNCTIONS:
        done = {(action, resource) for who, action, resource in asked if who == function}
        unused = {
            rule
            for rule in allowed(template, function)
            if rule[1].startswith(("JobsTable", "CoordinationTable")) and rule not in done
        }
        assert not unused, f"{function} never does {sorted(unused)}"


def test_only_what_jobs_have_made_is_deleted_and_by_the_worker_payloads(
    template: Template,
) -> None:
    def deletable(template: Template, function: str) -> set[str]:
        rules = allowed(template, function)
        return {resource for action, resource in rules if "DeleteObject" in action}

    deletes = {function: deletable(template, function) for function in FUNCTIONS}
    assert deletes.pop("ApiFunction") == {
        "Bucket/payloads/*",
        "Bucket/partial/*",
        "Bucket/results/*",
    }
    assert deletes.pop("WorkerFunction") == {"Bucket/payloads/*"}
    assert deletes.pop("TimerFunction") == {"Bucket/payloads/*"}  # that an occurrence replaces
    assert not any(deletes.values())
