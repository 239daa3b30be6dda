"""What work costs, counted at the boundary: requests, write units, connections."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any, ClassVar

import pytest

import moto_items
from api_worker import send_to_lambda
from counted_units import units_between
from fake_lambda import FakeLambda
from job_runners import clock
from job_runners.aws import clients
from job_runners.engine.tick import timer
from job_runners.fake_dynamodb.units import size
from job_runners.runners import get_job_runner, lambda_async
from job_runners.runners.base import JobData
from job_runners.store import limits, pauses, queries, transitions
from job_runners.testing import moto_direct
from job_runners.work import context
from sample_work import script

pytestmark = pytest.mark.usefixtures("aws")


class Calls:
    """Every AWS request made, by operation."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        for service in ("dynamodb", "lambda", "sqs", "s3"):
            clients.client(service).meta.events.register("before-call.*.*", self._count)

    def _count(self, model: Any, **_: Any) -> None:
        self.counted[model.name] += 1


@pytest.fixture
def calls(worker: FakeLambda) -> Calls:
    get_job_runner()
    pauses.current()  # which a process reads once in 10 s, whatever it runs
    limits.current()
    return Calls()


@pytest.fixture
def fake(calls: Calls, worker: FakeLambda) -> FakeLambda:
    return worker


def dispatch(job_type: str = "sample_once") -> str:
    job = JobData(
        job_type=job_type,
        organization_id="a-typical-organization",
        payload={"number": 7, "text": "uploads/a-typical-organization/2026-spring/contacts.csv"},
    )
    arn = "arn:aws:sts::123456789012:assumed-role/campaign-service-production/i-0f3a9c27e1b4d5a68"
    token = context.author.set(context.Author("service", arn))
    try:
        return get_job_runner().dispatch_job(job).row.id
    finally:
        context.author.reset(token)


def test_a_tracked_job_costs_one_put_one_invoke_two_updates_and_no_read(
    calls: Calls, fake: FakeLambda
) -> None:
    dispatch()
    fake.deliver()
    assert calls.counted == {"PutItem": 1, "Invoke": 1, "UpdateItem": 2}


def test_a_task_costs_one_invoke(calls: Calls, fake: FakeLambda) -> None:
    get_job_runner().dispatch_task("sample_note", {"number": 7})
    fake.deliver()
    assert calls.counted == {"Invoke": 1}


def test_checkpoints_are_written_at_widening_gaps_of_at_most_five_seconds(
    calls: Calls, fake: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[float] = []
    time = clock.now()

    def work(job: Any, payload: object) -> None:
        nonlocal time
        start = time
        for row in range(600):  # a minute of work, a checkpoint every 0.1 s
            before = calls.counted["UpdateItem"]
            job.checkpoint(row, progress=row / 6)
            if calls.counted["UpdateItem"] > before:
                written.append((time - start) / 1000)
            time += 100

    script.job = work
    monkeypatch.setattr(clock, "now", lambda: time)
    dispatch()
    fake.deliver()
    gaps = [round(b - a, 1) for a, b in pairwise(written)]
    assert written[0] == 0
    assert gaps[:4] == [0.5, 1.0, 2.0, 4.0]
    assert set(gaps[4:]) == {5.0}


def test_a_job_that_retries_once_costs_its_own_three_updates_and_one_delayed_message(
    calls: Calls, fake: FakeLambda
) -> None:
    def fail(job: object, payload: object) -> None:
        raise ValueError("no luck")

    script.job = fail
    dispatch("sample_again")
    fake.deliver()
    assert calls.counted == {"PutItem": 1, "Invoke": 1, "UpdateItem": 2, "SendMessage": 1}


@pytest.fixture(params=[False, True], ids=["", "traced"])
def traced(request: pytest.FixtureRequest) -> bool:
    is_traced: bool = request.param
    if is_traced:
        request.getfixturevalue("spans")
    return is_traced


def test_a_job_with_a_row_under_1_kb_costs_at_most_six_units_between(
    traced: bool, calls: Calls, fake: FakeLambda
) -> None:
    claimed: list[dict[str, Any]] = []

    def work(job: Any, payload: object) -> dict[str, int]:
        claimed.append(item(job.id))
        return {"imported": 9876, "invalid": 12, "repeated": 34, "rows": 9922}

    script.job = work
    job_id = dispatch()
    saved = item(job_id)
    fake.deliver()
    states = [{}, saved, *claimed, item(job_id)]
    units = [units_between(a, b) for a, b in pairwise(states)]
    assert ("traceparent" in saved) == traced
    assert max(map(size, states)) < 1024
    assert units == [3, 1, 2]


def test_a_child_that_never_fails_has_a_row_under_1_kb_with_every_field_in_it(
    traced: bool, calls: Calls, fake: FakeLambda
) -> None:
    """As long as its fields come: of a request with an id of API Gateway's."""

    def parent(job: Any, payload: object) -> str:
        script.job = child
        data = {"number": 7, "text": "uploads/a-typical-organization/2026-spring/contacts.csv"}
        child_id: str = job.dispatch("sample_again", data, key="the only one")
        return child_id

    claimed: list[dict[str, Any]] = []

    def child(job: Any, payload: object) -> dict[str, int]:
        claimed.append(item(job.id))
        return {"imported": 9876, "invalid": 12, "repeated": 34, "rows": 9922}

    script.job = parent
    token = context.request_id.set("JKJaXmPLvHcESHA=")
    parent_id = dispatch()
    context.request_id.reset(token)
    fake.deliver()
    [child_id] = [row["id"] for row in moto_direct.rows("jobs") if "parent_id" in row]
    finished = item(child_id)
    assert finished["parent_id"] == {"S": parent_id}
    assert finished["created_by"]["S"].startswith("service:assumed-role/")
    assert ("traceparent" in finished) == traced
    assert max(map(size, (*claimed, finished))) < 1024
    assert units_between(claimed[0], finished) == 2


def test_a_look_of_the_timer_costs_three_write_units_whatever_lane_the_row_goes_to(
    calls: Calls, fake: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timer, "MAX_UNCLAIMED", 1)
    ids = [dispatch(), dispatch()]
    before = [item(job_id) for job_id in ids]
    later = clock.now() + 61_000
    monkeypatch.setattr(clock, "now", lambda: later)
    calls.counted.clear()
    counts = timer.tick(lambda_async.send, until=later + 1).counts
    assert counts == {timer.Disposition.SENT: 1, timer.Disposition.DEFERRED: 1}
    after = [item(job_id) for job_id in ids]
    assert [units_between(*each) for each in zip(before, after, strict=True)] == [3, 3]
    assert calls.counted["UpdateItem"] == 2
    claimed_and_watched(ids, before=after)


def claimed_and_watched(ids: list[str], before: list[dict[str, Any]]) -> None:
    """Count a claim out of a backlog: 1 unit for the claim and 3 for the look that it moves."""
    row = max(before, key=lambda each: int(each["due_at"]["N"]))
    (job_id,) = (each for each in ids if each == row["id"]["S"])
    transitions.claim(job_id, job_type="sample_once", send_id="s", deadline=clock.now() + 900_000)
    assert units_between(row, item(job_id)) == 3  # of two writes: the first moves no index entry


def test_a_failed_job_costs_one_write_unit_more(calls: Calls, fake: FakeLambda) -> None:
    running: list[dict[str, Any]] = []

    def fail(job: Any, payload: object) -> None:
        running.append(item(job.id))
        raise ValueError("no luck")

    script.job = fail
    job_id = dispatch()
    fake.deliver()
    failed = item(job_id)
    failed["error"] = {"S": failed["error"]["S"][:100]}  # a long traceback is billed by its size
    assert units_between(running[0], failed) == 3


@pytest.mark.views
def test_reading_the_newest_page_costs_the_same_however_many_jobs_there_are(calls: Calls) -> None:
    for _ in range(60):
        dispatch()
    calls.counted.clear()
    assert len(queries.page("a-typical-organization", limit=25).jobs) == 25
    assert calls.counted == {"Query": 1, "BatchGetItem": 1}


# --- sizes, by DynamoDB's rules -------------------------------------------------------------------


def item(job_id: str) -> dict[str, Any]:
    return moto_items.stored("jobs", {"id": {"S": job_id}})


# --- connections and imports ----------------------------------------------------------------------


class OneLambda(BaseHTTPRequestHandler):
    """Lambda's HTTP front on loopback: accepts every Invoke."""

    protocol_version = "HTTP/1.1"
    connections: ClassVar[set[Any]] = set()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        OneLambda.connections.add(self.client_address)
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def lambda_front(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), OneLambda)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    OneLambda.connections.clear()
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{server.server_port}")
    send_to_lambda(monkeypatch)
    yield
    clients.client("lambda").close()
    server.shutdown()
    server.server_close()
    thread.join()


def test_one_connection_is_used_for_all_dispatches(lambda_front: None) -> None:
    for _ in range(10):
        get_job_runner().dispatch_task("sample_note", {})
    assert len(OneLambda.connections) == 1


def test_many_dispatches_take_a_connection_for_each_thread(lambda_front: None) -> None:
    dispatch_task = get_job_runner().dispatch_task
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: dispatch_task("sample_note", {}), range(300)))
    assert (
        len(OneLambda.connections) <= 8 < clients.client("lambda").meta.config.max_pool_connections
    )


def test_importing_the_worker_builds_no_client() -> None:
    code = (
        "import json, job_runners.handlers.worker, sys;"
        "from job_runners.aws import clients;"
        "print(json.dumps([list(clients._clients), clients._session is None]))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    ).stdout
    assert json.loads(output) == [[], True]


def test_running_a_job_builds_no_lambda_client(calls: Calls, fake: FakeLambda) -> None:
    dispatch()
    clients.drop_clients()
    fake.deliver()
    assert "lambda" not in clients._clients
