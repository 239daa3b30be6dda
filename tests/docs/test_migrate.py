"""The jobs, callers and loops of docs/migrate, run."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from pydantic import BaseModel

import sample_work
from api_server import ApiServer
from job_runners import Client
from job_runners.client import stack_outputs
from job_runners.places import ROOT
from job_runners.testing.job_runner import inline_runner
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.plain_clients import full_client
from job_runners.testing.saved_jobs import assert_succeeded
from job_runners.work import Job, RunningJob
from shown_code import blocks, module
from stale_reads import catch_up

CELERY, STEP_FUNCTIONS, OTHERS = (
    (ROOT / "docs/migrate" / f"{name}.md").read_text()
    for name in ("celery", "step_functions_sqs", "others")
)
CONSUMER = blocks(STEP_FUNCTIONS)[2]


class Invoice(BaseModel):
    invoice: int


def send_invoice(job: RunningJob, payload: Invoice) -> None:
    """Do nothing."""


def loop(page: str, begins: str) -> str:
    """Return the block of a page that isn't complete code, and begins like this."""
    (found,) = [each for each in blocks(page, "py") if each.startswith(begins)]
    return found


@pytest.fixture
def stack(api_server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> ApiServer:
    """Let every stack be found, with the jobs of the pages."""
    found = stack_outputs.Outputs(api_server.url, "bucket")
    monkeypatch.setattr(stack_outputs, "find_outputs", lambda *_: found)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("JOB_RUNNERS_URL", api_server.url)
    jobs = {"send_invoice": Job(send_invoice)}
    for name, page in (("celery_jobs", CELERY), ("orders", STEP_FUNCTIONS), ("pies", OTHERS)):
        jobs |= module(name, blocks(page)[0], monkeypatch).JOBS
    for name, job in jobs.items():
        monkeypatch.setitem(sample_work.JOBS, name, job)
    return api_server


def call(function: Any, *arguments: Any) -> Any:
    catch_up()  # most loops list what was dispatched before
    with ThreadPoolExecutor(1) as pool:  # Playwright's loop may run in the tests' thread
        return pool.submit(function, *arguments).result()


@pytest.mark.parametrize(
    ("page", "job_type", "payload", "result"),
    [
        (CELERY, "sync_account", {"account_id": 17}, {"account": 17, "pages": 3}),
        (OTHERS, "make_pie", {"pie_id": 17}, "pie 17"),
    ],
    ids=["celery", "zappa"],
)
def test_a_migrated_task_succeeds(
    page: str, job_type: str, payload: Any, result: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module("shown", blocks(page)[0], monkeypatch)
    with inline_runner(MovableClock(), {"JOBS_PACKAGES": "shown"}) as job_runner:
        assert assert_succeeded(job_runner.run(job_type, payload)) == result


@pytest.mark.parametrize("page", [CELERY, STEP_FUNCTIONS], ids=["celery", "step_functions"])
def test_the_caller_of_a_migrated_task_dispatches_it(page: str, stack: ApiServer) -> None:
    names: dict[str, Any] = {}
    call(exec, blocks(page)[1], names)
    assert names["job"].status in ("queued", "scheduled")


def test_a_request_starts_a_migrated_task_and_a_later_one_shows_its_result(
    stack: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = module("page", blocks(OTHERS)[1], monkeypatch)
    started = call(page.order_pie, 17)["id"]
    call(lambda: page.client.wait(page.client.get(started), timeout=60))
    assert call(page.show_pie, started) == {"status": "succeeded", "result": "pie 17"}


def test_the_tasks_that_celery_holds_are_revoked_and_dispatched_at_their_times() -> None:
    move = loop(CELERY, "# after step 4")
    app, client, eta = Mock(), Mock(), "2026-12-24T18:00:00+00:00"
    held = [
        {"eta": eta, "request": {"id": name, "name": f"acme.{name}", "args": [17]}}
        for name in ("sync_account", "other")
    ]
    app.control.inspect().scheduled.return_value = {"celery@one": held}
    exec(move, {"app": app, "client": client, "datetime": datetime})
    app.control.revoke.assert_called_once_with("sync_account")
    client.dispatch.assert_called_once_with(
        "sync_account",
        {"account_id": 17},
        run_at=datetime(2026, 12, 24, 18, tzinfo=UTC),
        idempotency_key="celery-sync_account",
    )
    app.control.inspect().scheduled.return_value = None  # no worker has answered
    exec(move, {"app": app, "client": client, "datetime": datetime})


def test_the_jobs_that_have_not_begun_go_back_to_celery(stack: ApiServer) -> None:
    client = Client()
    begun = call(client.dispatch, "sync_account", {"account_id": 1})
    later = call(lambda: client.dispatch("sync_account", {"account_id": 2}, delay=3600))
    app = Mock()
    for _ in range(2):
        call(exec, loop(CELERY, "for status in"), {"app": app, "client": client})
    run_at = call(client.get, later.id).run_at
    app.send_task.assert_called_once_with("acme.sync_account", kwargs={"account_id": 2}, eta=run_at)
    assert call(client.get, begun.id).status == "succeeded"


def test_a_job_waits_for_celery(monkeypatch: pytest.MonkeyPatch) -> None:
    module("shown", blocks(CELERY)[2], monkeypatch)
    with inline_runner(MovableClock(), {"JOBS_PACKAGES": "shown"}) as job_runner:
        pages = {"celery_pages": ["page 1"]}
        job = job_runner.run("make_report", {"month": "2026-11"}, signals=pages)
        assert assert_succeeded(job) == ["Report of 2026-11", "page 1"]


@pytest.mark.parametrize(
    ("breaks", "end"),
    [("nothing", "A7: 2 boxes"), ('"receipt of', "declined"), ('"box of', "2 of 2 items")],
)
def test_a_state_machine_as_a_job(breaks: str, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code = blocks(STEP_FUNCTIONS)[0].replace(f"return f{breaks}", "raise CardDeclined  #")
    module("shown", code, monkeypatch)
    with inline_runner(MovableClock(), {"JOBS_PACKAGES": "shown"}) as job_runner:
        order = {"order": "A7", "items": ["pen", "ink"]}
        job = job_runner.run("fulfill", order, signals={"release": {}})
    assert end in str(job.result if job.error is None else job.error.message)


def test_executions_that_run_are_stopped_and_dispatched_once_each(
    stack: ApiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    states = full_client("stepfunctions")
    role = "arn:aws:iam::123456789012:role/orders"
    definition = '{"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 9, "End": true}}}'
    machine = states.create_state_machine(name="orders", definition=definition, roleArn=role)
    arns = [
        states.start_execution(
            stateMachineArn=machine["stateMachineArn"],
            input=json.dumps({"order": order, "items": ["pen"]}),
        )["executionArn"]
        for order in ("A7", "A8")
    ]
    monkeypatch.chdir(tmp_path)
    Path("executions.txt").write_text("\t".join(arns))
    client = Client()
    names = {"Path": Path, "json": json, "states": states, "client": client}
    for _ in range(2):
        call(exec, loop(STEP_FUNCTIONS, "for arn in"), names)
    assert {states.describe_execution(executionArn=arn)["status"] for arn in arns} == {"ABORTED"}
    found = [each.id for each in call(lambda: list(client.list(job_type="fulfill")))]
    assert {call(client.get, each).payload["order"] for each in found} == {"A7", "A8"}
    assert len(found) == 2


def test_a_queues_consumer_dispatches_each_message_once_and_keeps_refused_ones(
    stack: ApiServer,
) -> None:
    names: dict[str, Any] = {}
    call(exec, CONSUMER, names)
    bodies = {"m1": '{"invoice": 7}', "m2": '{"invoice": "x"}', "m3": "no JSON"}
    event = {"Records": [{"messageId": id, "body": body} for id, body in bodies.items()]}
    for _ in range(2):  # SQS may deliver a message twice
        failed = call(names["handler"], event, None)["batchItemFailures"]
        assert failed == [{"itemIdentifier": "m2"}, {"itemIdentifier": "m3"}]
    (job,) = call(lambda: list(names["client"].list(job_type="send_invoice")))
    assert call(names["client"].get, job.id).payload == {"invoice": 7}
