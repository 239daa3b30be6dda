"""Every recipe of docs/recipes, run."""

import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

import sample_work
from api_server import ApiServer
from bench import Bench
from job_runners import Client
from job_runners.errors import Interrupted
from job_runners.places import ROOT
from job_runners.testing.aws import forget
from job_runners.testing.files import read_file, upload
from job_runners.testing.job_runner import InlineRunner, inline_runner
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.plain_clients import full_client
from job_runners.testing.saved_jobs import SavedJobs, assert_failed, assert_succeeded
from job_runners.work import RunningJob
from job_runners.work.job_ended import JobEnded, samples
from recording_job import RecordingJob, Stopped
from shown_code import blocks, module
from stale_reads import catch_up

RECIPES = ROOT / "docs/recipes"


def recipe(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the module of jobs that a recipe shows."""
    (code,) = [each for each in blocks((RECIPES / f"{name}.md").read_text()) if "JOBS = " in each]
    return module("shown", code, monkeypatch)


@contextmanager
def running(clock: MovableClock | None = None, **settings: str) -> Iterator[InlineRunner]:
    """Run jobs of the module `shown`."""
    with inline_runner(clock or MovableClock(), {"JOBS_PACKAGES": "shown", **settings}) as runner:
        yield runner


def test_the_index_lists_every_recipe() -> None:
    listed = re.findall(r"\]\((\w+\.md)\)", (RECIPES / "index.md").read_text())
    assert sorted([*listed, "index.md"]) == sorted(path.name for path in RECIPES.glob("*.md"))


# --- llm_call.md ----------------------------------------------------------------------------------


class Model(BaseHTTPRequestHandler):
    """Answers as a model's API: with the next of these statuses."""

    statuses: list[int]
    bodies: list[dict[str, Any]]

    def do_POST(self) -> None:
        assert (self.path, self.headers["Authorization"]) == ("/chat/completions", "Bearer k")
        self.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.statuses.pop(0))
        self.send_header("Retry-After", "40")
        self.end_headers()
        message = {"role": "assistant", "content": "Short."}
        answer = {"choices": [{"message": message}], "usage": {"total_tokens": 12}}
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.mark.parametrize(
    ("statuses", "end"),
    [([429, 200], {"summary": "Short.", "tokens": 12}), ([500, 200], None), ([401], None)],
)
def test_a_call_of_a_model_waits_repeats_or_gives_up(
    statuses: list[int], end: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe("llm_call", monkeypatch)
    handler = type("Handler", (Model,), {"statuses": [*statuses], "bodies": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = {"URL": f"http://127.0.0.1:{server.server_port}", "KEY": "k", "MODEL": "m"}
    clock = MovableClock()
    try:
        with running(clock, **{f"APP_SETTING_LLM_{k}": v for k, v in settings.items()}) as runner:
            job = runner.run("summarize", {"text": "A long text."})
            if statuses == [401]:
                assert "answered 401" in assert_failed(job, "DoNotRetry").message
            else:
                assert (assert_succeeded(job)["tokens"], job.attempt) == (12, 2)
            if statuses[0] == 429:
                assert job.result == end
                assert clock.moved >= 39_000
    finally:
        server.shutdown()
        server.server_close()
    assert handler.bodies[0]["model"] == "m"  # type: ignore[attr-defined]
    assert len(handler.bodies) == len(statuses)  # type: ignore[attr-defined]


# --- documents.md ---------------------------------------------------------------------------------


def test_all_documents_are_in_the_report_even_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe("documents", monkeypatch)
    with running() as runner:
        files = [upload(name, data) for name, data in (("a", b"one two"), ("b", b""))]
        result = assert_succeeded(runner.run("read_documents", {"files": files}))
        assert (result["read"], result["failed"]) == (1, 1)
        _, first, second = read_file(result["file"]).decode().splitlines()
        assert first == f"{files[0]},succeeded,2,"
        assert second == f"{files[1]},failed,,DoNotRetry: The document is empty."


# --- agent_approval.md ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"approval 1": "approve"}, "refund 2000 is booked as {id}/1"),
        ({"approval 1": "reject"}, "The person rejected this action."),
        ({}, "The person rejected this action."),
    ],
)
def test_an_agent_acts_only_if_a_person_approves(
    answers: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = recipe("agent_approval", monkeypatch)
    thoughts, mails = Mock(side_effect=shown.think), Mock(return_value=None)
    monkeypatch.setattr(shown, "think", thoughts)
    monkeypatch.setattr(shown, "mail", mails)
    with running() as runner:
        payload = {"task": "Ada wants her money back.", "approver": "boss@example.com"}
        job = runner.run("run_agent", payload, signals=answers)
        assert assert_succeeded(job) == f"Done: {said.format(id=job.id)}"
    assert thoughts.call_count == 2  # although the function began again after the wait
    ((to, text),) = (call.args for call in mails.call_args_list)
    assert to == "boss@example.com"
    assert "/answers/" in text


def test_an_agent_that_never_answers_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = recipe("agent_approval", monkeypatch)
    monkeypatch.setattr(shown, "think", lambda _: {"text": "Again?", "action": "again"})
    with running() as runner:
        job = runner.run("run_agent", {"task": "x", "approver": "a@example.com"})
        assert "after 10 turns" in assert_failed(job, "DoNotRetry").message


# --- pdf.md ---------------------------------------------------------------------------------------


class Pdf:
    """Stands for fpdf2, which isn't a dependency of this checkout."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add_page(self) -> None:
        """Do nothing."""

    def set_font(self, family: str, *, size: int) -> None:
        """Do nothing."""

    def cell(self, *, text: str, new_x: str, new_y: str) -> None:
        self.texts.append(text)

    def output(self) -> bytearray:
        return bytearray("\n".join(self.texts).encode())


def test_an_invoice_is_a_file_of_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    fpdf = ModuleType("fpdf")
    fpdf.FPDF = Pdf  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fpdf", fpdf)
    recipe("pdf", monkeypatch)
    with running() as runner:
        lines = [{"text": "Tea", "cents": 300}, {"text": "Cake", "cents": 450}]
        invoice = {"number": "7", "customer": "Ada", "lines": lines}
        key = assert_succeeded(runner.run("make_invoice", invoice))["file"]
        assert key.endswith("/invoice-7.pdf")
        texts = read_file(key).decode().splitlines()
        assert texts[2:] == ["Tea: 3.00", "Cake: 4.50", "Total: 7.50"]
    monkeypatch.setenv("JOB_RUNNERS_URL", "https://x.example.com")
    product = module("product", blocks((RECIPES / "pdf.md").read_text())[1], monkeypatch)
    product.client = Mock()
    product.client.dispatch.return_value.id = "1"
    assert product.order_invoice("7", "Ada", lines) == "1"
    assert product.client.dispatch.call_args.args == ("make_invoice", invoice)
    product.client.get.return_value = Mock(finished=False)
    assert product.invoice_link("1") is None
    product.client.get.return_value = Mock(finished=True, get_result=lambda: {"url": "https://x/k"})
    assert product.invoice_link("1") == "https://x/k"


# --- csv_import.md --------------------------------------------------------------------------------


def test_an_import_continues_after_the_last_row_and_lists_wrong_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = recipe("csv_import", monkeypatch)
    saved: list[str] = []
    monkeypatch.setattr(shown, "save", lambda order: saved.append(order.number))
    with running() as runner:
        key = upload("orders.csv", b'number,cents\na,1\n"b\nb",2\nc,much\nd,4\n')
        result = assert_succeeded(runner.run("import_orders", {"file": key}))
        assert (result["rows"], saved) == (4, ["a", "b\nb", "d"])
        (error,) = result["errors"]
        assert error.startswith("row 3: ")
        saved.clear()
        key = upload("orders.csv", b"number,cents\na,1\nb,2\nc,3\n", organization_id="acme")
        first = RecordingJob(stop_at=2)
        with pytest.raises(Stopped):
            shown.import_orders(first, shown.Upload(file=key))
        later = RecordingJob(cursor=first.cursors[-1])
        assert shown.import_orders(later, shown.Upload(file=key))["rows"] == 3
        assert saved == ["a", "b", "c"]
        wrong = b"number,cents\n" + b"x,y\n" * 101
        failed = runner.run("import_orders", {"file": upload("wrong.csv", wrong)})
        assert "Too many wrong rows. row 1: " in assert_failed(failed, "DoNotRetry").message


# --- nightly_report.md ----------------------------------------------------------------------------


def test_a_report_that_is_retried_after_midnight_keeps_its_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = recipe("nightly_report", monkeypatch)
    days = iter(["2026-11-29", "2026-11-30"])
    monkeypatch.setattr(shown, "yesterday", lambda: next(days))
    mails: list[str] = []

    def mail(to: str, text: str) -> None:
        mails.append(text)
        if len(mails) == 1:
            raise ConnectionError

    monkeypatch.setattr(shown, "mail", mail)
    with running() as runner:
        key = assert_succeeded(runner.run("make_report"))["file"]
        assert read_file(key) == b"product,sold\ntea,3\ncake,7"
        assert mails == ["Sales of 2026-11-29: 2 products"] * 2
        earlier = assert_succeeded(runner.run("make_report", {"day": "2026-01-02"}))
        assert earlier["file"].endswith("/sales-2026-01-02.csv")


def test_a_report_that_fails_is_told_and_its_schedule_is_valid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = recipe("nightly_report", monkeypatch)
    today = date.fromisoformat(shown.yesterday()) + timedelta(days=1)
    monkeypatch.setattr(shown, "sales", Mock(side_effect=ConnectionError("no database")))
    with running() as runner:
        failed = runner.run("make_report", {"day": str(today)})
        assert_failed(failed, ConnectionError)
        told = SavedJobs().only("tell_the_team", status="succeeded")
        assert told.payload["job_id"] == failed.id
    (schedule,) = shown.RECURRING.values()
    assert (schedule.job_type, str(schedule.timezone)) == ("make_report", "Europe/Berlin")


# --- email_once.md --------------------------------------------------------------------------------


def _refused(status: int) -> ClientError:
    said: Any = {"ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(said, "SendEmail")


@pytest.mark.parametrize(
    ("answers", "calls"),
    [
        ([_refused(429), {"MessageId": "m-1"}], 2),
        ([_refused(503)], 1),
        ([ReadTimeoutError(endpoint_url="ses")], 1),
        ([Interrupted("killed")], 1),
    ],
)
def test_an_e_mail_that_may_have_been_sent_is_not_sent_again(
    answers: list[Any], calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = recipe("email_once", monkeypatch)
    ses = Mock()
    ses.send_email.side_effect = answers
    monkeypatch.setattr(shown, "get_session", lambda: Mock(create_client=lambda *_, **__: ses))
    with running() as runner:
        job = runner.run("mail", {"to": "ada@example.com", "text": "Thanks"})
        assert job.status == ("succeeded" if calls == 2 else "failed")
    assert ses.send_email.call_count == calls
    model = ServiceModel(Loader().load_service_model("ses", "service-2"))
    shape = model.operation_model("SendEmail").input_shape
    assert shape
    for each in ses.send_email.call_args_list:
        assert not ParamValidator().validate(each.kwargs, shape).has_errors()


# --- limited_api.md -------------------------------------------------------------------------------


def test_a_limited_api_sets_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe("limited_api", monkeypatch)
    clock = MovableClock()
    with running(clock) as runner:
        job = runner.run("pull_account", {"account": "a7"})
        assert assert_succeeded(job) == "a7 is up to date"
        assert job.attempt == 2
        assert clock.moved >= 29_000  # some of the 30 s passed by themselves


# --- s3_trigger.md --------------------------------------------------------------------------------


def test_an_upload_to_ones_own_bucket_is_one_job_that_reads_it(
    api_server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOB_RUNNERS_URL", api_server.url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    shown = recipe("s3_trigger", monkeypatch)
    monkeypatch.setitem(sample_work.JOBS, "read_object", shown.JOBS["read_object"])
    names: dict[str, Any] = {}
    exec(blocks((RECIPES / "s3_trigger.md").read_text())[0], names)
    file = {"key": "in/may+1.txt", "sequencer": "0055AED6DCD90281E5"}
    event = {"Records": [{"s3": {"bucket": {"name": "mine"}, "object": file}}]}
    found = _in_a_thread(lambda: [names["on_upload"](event, None) for _ in range(2)] and _listed())
    assert [job.payload for job in found] == [{"bucket": "mine", "key": "in/may 1.txt"}]


def _listed() -> list[Any]:
    catch_up()
    client = Client()
    return [client.get(each.id) for each in client.list(job_type="read_object")]


def _in_a_thread(function: Any) -> Any:
    """Call it in a thread, because Playwright's loop may run in the tests' thread."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_the_job_of_an_upload_reads_the_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe("s3_trigger", monkeypatch)
    with running() as runner:
        s3 = full_client("s3")
        s3.create_bucket(Bucket="mine")
        s3.put_object(Bucket="mine", Key="in/may 1.txt", Body=b"a\nb\n")
        job = runner.run("read_object", {"bucket": "mine", "key": "in/may 1.txt"})
        assert assert_succeeded(job) == {"lines": 2}
        gone = runner.run("read_object", {"bucket": "mine", "key": "gone"})
        assert_failed(gone, "DoNotRetry")


# --- sentry.md ------------------------------------------------------------------------------------


def test_sentry_gets_failed_attempts_and_killed_workers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentry_sdk = pytest.importorskip("sentry_sdk")
    sent: list[dict[str, Any]] = []

    class Kept(sentry_sdk.Transport):  # type: ignore[misc, name-defined]
        """Keeps what the SDK sends."""

        def capture_envelope(self, envelope: Any) -> None:
            sent.append(envelope.get_event())

    def import_orders(job: RunningJob, payload: JobEnded) -> None:
        raise ValueError("no such column")

    shown = recipe("sentry", monkeypatch)
    failing = shown.JOBS["import_orders"].__replace__(function=import_orders)
    monkeypatch.setitem(shown.JOBS, "import_orders", failing)
    monkeypatch.setenv("JOBS_PACKAGES", "shown")
    monkeypatch.setenv("APP_SETTING_SENTRY_DSN", "https://key@sentry.example.com/1")
    init = sentry_sdk.init
    monkeypatch.setattr(sentry_sdk, "init", lambda **given: init(**given, transport=Kept))
    forget()
    (payload,) = samples("on_failure")
    failed = bench.run(bench.dispatch("import_orders", payload=payload))
    bench.deliver()
    (event,) = sent
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("ValueError", "no such column")
    assert (event["tags"]["work.name"], event["tags"]["work.id"]) == ("import_orders", failed.id)
    killed = bench.dispatch("import_orders", payload=payload)
    bench.claim(killed)  # its worker is killed, and no code of its own runs
    bench.advance(1000)
    bench.tick()
    bench.deliver()
    _, event = sent
    assert event["message"].startswith("import_orders: Interrupted: ")
    assert (event["fingerprint"], event["level"]) == (["import_orders", "Interrupted"], "error")
    assert event["tags"]["work.id"] == killed.id
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)
