"""The jobs and callers that the how-to pages show, run."""

import json
import re
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock, Mock, create_autospec
from unittest.mock import call as mock_call

import pytest
import yaml
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from pydantic import BaseModel

import sample_work
from api_server import ApiServer
from job_runners import Client, Conflict, NoAnswer
from job_runners.client import stack_outputs
from job_runners.errors import InvalidPayload
from job_runners.places import ROOT
from job_runners.testing.aws import forget
from job_runners.testing.files import upload
from job_runners.testing.job_runner import InlineRunner, inline_runner
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.plain_clients import full_client
from job_runners.testing.saved_jobs import SavedJobs, assert_failed, assert_succeeded
from job_runners.work import DoNotRetry, Job, RunningJob
from operator_files import run_script
from shown_code import blocks, module
from stale_reads import catch_up


def snippets(name: str) -> list[str]:
    return blocks((ROOT / "docs/guides" / f"{name}.md").read_text())


def run(job_runner: InlineRunner, job_type: str, payload: dict[str, Any]) -> Any:
    return assert_succeeded(job_runner.run(job_type, payload))


@pytest.mark.parametrize(
    ("page", "job_type", "payload", "result"),
    [
        ("do_something_once", "settle_order", {"order_id": 7, "cents": 100}, "receipt of"),
        ("long_work", "archive_pages", {"last_page": 3}, "{'pages': 3}"),
    ],
)
def test_the_job_of_a_page_succeeds(
    page: str,
    job_type: str,
    payload: dict[str, Any],
    result: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module("shown", snippets(page)[0], monkeypatch)
    with inline_runner(MovableClock(), {"JOBS_PACKAGES": "shown"}) as job_runner:
        assert result in str(run(job_runner, job_type, payload))


@pytest.mark.parametrize(
    ("function", "signals", "result"),
    [
        ("refund", {"approval": {"approved": True}}, "refunded"),
        ("refund", {"approval": {"approved": False}}, "rejected"),
        ("refund", {}, "expired"),
        ("order", {"canceled": "too slow"}, "canceled: too slow"),
    ],
)
def test_the_jobs_that_wait_do_as_they_are_told(
    function: str, signals: dict[str, Any], result: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = module("shown", "\n".join(snippets("waiting")), monkeypatch)
    shown.JOBS = {"waits": Job(getattr(shown, function))}
    with inline_runner(MovableClock(), {"JOBS_PACKAGES": "shown"}) as job_runner:
        job = job_runner.run("waits", {"order": "A7"}, signals=signals)
        assert assert_succeeded(job) == result
    assert shown.refunded == (["A7"] if result == "refunded" else [])


@pytest.mark.parametrize(
    ("day", "result", "mails"),
    [(1, "answered: yes", 1), (5, "answered: yes", 2), (8, "expired", 2)],
)
def test_the_job_of_the_waits_reminds_and_then_times_out(
    day: int, result: str, mails: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = module("shown", "\n".join(snippets("waiting")), monkeypatch)
    shown.JOBS = {"asks": Job(shown.ask)}
    clock = MovableClock()
    with inline_runner(clock, {"JOBS_PACKAGES": "shown"}) as job_runner:
        job = job_runner.dispatch("asks", {"order": "A7"})
        for _ in range(day):
            job_runner.run_due()
            clock.advance(shown.DAY)
        if result != "expired":
            job_runner.signal(job, "answer", "yes")
        job_runner.drain()
        assert assert_succeeded(job) == result
    assert len(shown.mails) == mails


def test_an_order_without_a_price_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    module("shown", snippets("do_something_once")[0], monkeypatch)
    with inline_runner(MovableClock(), {"JOBS_PACKAGES": "shown"}) as job_runner:
        job = job_runner.run("settle_order", {"order_id": 7, "cents": 0})
        assert "nothing to charge" in assert_failed(job).message
        assert job.attempt == 1


def test_a_failed_member_is_fixed_and_its_group_is_reported_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = module("shown", "\n".join(snippets("fan_out_and_wait")), monkeypatch)
    with inline_runner(MovableClock(), {"JOBS_PACKAGES": "shown"}) as job_runner:
        shown.test_a_failed_text_is_retried_and_reported_once(job_runner, SavedJobs())


def test_a_job_is_held_until_its_failed_member_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = module("shown", "\n".join(snippets("fan_out_and_wait")), monkeypatch)
    shown.JOBS["held"] = Job(shown.count_with_help)
    with inline_runner(MovableClock(), {"JOBS_PACKAGES": "shown"}) as job_runner:
        saved = SavedJobs()
        job = job_runner.dispatch("held", {"texts": ["one two", ""]})
        job_runner.run_due()
        job_runner.signal(job, "retried-1")  # too early
        job_runner.run_due()
        assert (saved.get(job.id).status, saved.all("report")) == ("waiting", [])
        job_runner.retry(saved.only("count", status="failed"), {"text": "three"})
        job_runner.run_due()
        job_runner.signal(job, "retried-2")
        job_runner.drain()
        assert assert_succeeded(saved.get(job.id)) == {"words": 3}
        saved.only("report", payload={"words": 3})


def test_each_attempt_starts_another_container_after_an_error_or_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = module("shown", snippets("long_work")[1], monkeypatch)
    ecs = Mock()
    no_capacity = {"failures": [{"reason": "RESOURCE:CPU"}], "tasks": []}
    started = {"failures": [], "tasks": [{"taskArn": "arn:task"}]}
    ecs.run_task.side_effect = [no_capacity, *[started] * 4]
    monkeypatch.setattr(shown, "get_session", lambda: Mock(create_client=lambda _: ecs))
    full: dict[str, Any] = {"taskArns": ["arn:task"] * shown.MOST}
    ecs.list_tasks.side_effect = [{"taskArns": []}, full, full, *[{"taskArns": []}] * 4]
    settings = {"JOBS_PACKAGES": "shown", "APP_SETTING_CONTAINER_SUBNET": "subnet-1"}
    with inline_runner(MovableClock(), settings) as job_runner:
        key = upload("in.mp4", b"a video")
        answers = {"transcoded-1": {"error": "no such codec"}}
        failed = job_runner.run("transcode", {"file": key}, signals=answers)
        assert "didn't answer" in assert_failed(failed).message
        job_runner.retry(failed)
        answer = {"file": "small.mp4"}
        job_runner.signal(failed, "transcoded-3", answer)
        job_runner.drain()
        assert assert_succeeded(SavedJobs().get(failed.id)) == answer
    assert ecs.list_tasks.call_count == 6  # twice, too many were running
    requests = [each.kwargs for each in ecs.run_task.call_args_list]
    assert requests[0] == requests[1]
    numbers = (1, 1, 2, 3)
    assert [each["clientToken"] for each in requests] == [f"{failed.id}-{n}" for n in numbers]
    callbacks = []
    model = ServiceModel(Loader().load_service_model("ecs", "service-2"))
    shape = model.operation_model("RunTask").input_shape
    assert shape
    for request in requests:
        (container,) = request["overrides"]["containerOverrides"]
        given = {each["name"]: each["value"] for each in container["environment"]}
        assert given["INPUT"] == key
        assert given["OUTPUT"].endswith(f"{failed.id}/small.mp4")
        callbacks.append(given["CALLBACK"])
        assert "/answers/" in given["CALLBACK"]
        assert not ParamValidator().validate(request, shape).has_errors()
    assert len(set(callbacks)) == 3


EVENTS = "CREATE TABLE events (number INTEGER PRIMARY KEY, customer TEXT, event TEXT)"


def test_events_are_applied_in_order_by_one_job_for_each_customer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown = module("shown", snippets("in_order")[0], monkeypatch)
    monkeypatch.chdir(tmp_path)
    applied: list[str] = []

    with (
        closing(sqlite3.connect("shop.db")) as database,
        inline_runner(MovableClock(), {"JOBS_PACKAGES": "shown"}) as job_runner,
    ):
        database.execute(EVENTS)

        def save_event(customer: str, event: str) -> None:
            with database:
                row = (customer, event)
                database.execute("INSERT INTO events (customer, event) VALUES (?, ?)", row)
            job_runner.dispatch("apply_events", {"customer": customer})

        def apply_event(number: int, event: str) -> None:
            applied.append(event)
            if applied == ["a1"]:
                save_event("a", "a3")  # another process does this while the job runs
                raise ConnectionError

        monkeypatch.setattr(shown, "apply_event", apply_event)
        for customer, event in (("a", "a1"), ("b", "b1"), ("a", "a2")):
            save_event(customer, event)
        job_runner.drain()
        assert [event for event in applied if event[0] == "a"] == ["a1", "a1", "a2", "a3"]
        jobs = SavedJobs().all("apply_events", status="succeeded")
        assert sorted(job.result for job in jobs) == [0, 1, 3]  # the one that follows finds none


def test_a_flooding_organization_gets_its_own_slots_or_a_fair_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, shared = snippets("in_order")[2:]
    shown = module("shown", own, monkeypatch)
    for code in (own, shared):
        exec(compile(code, "shown", "exec"), shown.__dict__)
    limits = shown.QUEUES["imports"]
    assert (limits.slots, limits.order) == (100, "fair")
    keys = {limits.key_of("acme", shown.ImportFile(key="x.csv")) for _ in range(200)}
    assert keys == set("01234")


EARLIER_AND_NEWER = """
from pydantic import BaseModel
from job_runners.work import Job, RunningJob

class Nothing(BaseModel):
    pass

class Bill(BaseModel):
    order: int

class NewerBill(Bill):
    currency: str

def newer_bill(job: RunningJob, payload: NewerBill):
    job.step("charge", lambda: "newer charge")
    job.checkpoint({"at": 2}, durable=True)
    job.sleep("an hour", 3600)

def earlier_bill(job: RunningJob, payload: Bill):
    steps = [job.step(name, lambda: f"earlier {name}") for name in ("charge", "mail")]
    return [*steps, payload.order, job.cursor]

def of_newer(job: RunningJob, payload: Nothing):
    pass

JOBS = {"bill": Job(newer_bill), "of_newer": Job(of_newer)}
"""


def deploy(shown: Any, jobs: dict[str, Job]) -> None:
    shown.JOBS = jobs
    forget()


def test_earlier_code_runs_what_newer_code_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/operate/upgrading.md says: Roll back your own code."""
    shown = module("shown", EARLIER_AND_NEWER, monkeypatch)
    clock = MovableClock()
    with inline_runner(clock, {"JOBS_PACKAGES": "shown"}) as job_runner:
        job = job_runner.dispatch("bill", {"order": 7, "currency": "EUR"})
        lost = job_runner.dispatch("of_newer", {}, delay=3600)
        job_runner.run_due()
        deploy(shown, {"bill": Job(shown.earlier_bill)})
        job_runner.drain()
        saved = SavedJobs()
        assert assert_succeeded(saved.get(job.id)) == ["newer charge", "earlier mail", 7, {"at": 2}]
        assert assert_failed(saved.get(lost.id)).kind == "NeverStarted"
        with pytest.raises(InvalidPayload):
            job_runner.dispatch("bill", {"order": 7, "currency": "EUR"})


def test_a_pause_keeps_a_job_that_only_newer_code_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = module("shown", EARLIER_AND_NEWER, monkeypatch)
    with inline_runner(MovableClock(), {"JOBS_PACKAGES": "shown"}) as job_runner:
        job_runner.pause("of_newer")
        job = job_runner.dispatch("of_newer", {})
        job_runner.run_due()
        deploy(shown, {})
        job_runner.drain()
        assert "waited 30 days" in assert_failed(SavedJobs().get(job.id)).message


# --- callers --------------------------------------------------------------------------------------


@pytest.fixture
def stack(api_server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> ApiServer:
    """Let every stack be found, with the jobs of the pages."""
    found = stack_outputs.Outputs(api_server.url, "bucket")
    monkeypatch.setattr(stack_outputs, "find_outputs", lambda *_: found)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    jobs = {
        **module("debounced_jobs", snippets("debounce")[0], monkeypatch).JOBS,
        "count_letters": sample_work.JOBS["sample_once"],
    }
    for name, job in jobs.items():
        monkeypatch.setitem(sample_work.JOBS, name, job)
    return api_server


def call(function: Any, *arguments: Any) -> Any:
    catch_up()  # most pages list what they have dispatched before
    with ThreadPoolExecutor(1) as pool:  # Playwright's loop may run in the tests' thread
        return pool.submit(function, *arguments).result()


def test_a_job_dispatches_one_job_of_another_stack(
    stack: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispatch_elsewhere = run_script("dispatch_elsewhere.py")["dispatch_elsewhere"]
    monkeypatch.setenv("APP_SETTING_OTHER_API", stack.url)
    monkeypatch.setenv("APP_SETTING_OTHER_REGION", "us-east-1")
    job = Mock(id="7", organization_id="acme")
    ids = [call(dispatch_elsewhere, job, "count_letters", {}) for _ in range(2)]
    client = Client(url=stack.url, organization_id="acme")
    assert [ids[0]] * 2 == ids == [each.id for each in call(lambda: list(client.list()))] * 2
    with pytest.raises(ConnectionError, match="answered 422"):
        call(dispatch_elsewhere, job, "no_such_job", {})


def test_three_requests_are_one_debounced_job_with_the_last_payload(
    stack: ApiServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOB_RUNNERS_URL", stack.url)
    capsys.readouterr()
    call(exec, compile(snippets("debounce")[1], "debounce", "exec"), {})
    assert capsys.readouterr().out == "replaced\n"
    (job,) = call(lambda: list(Client().list()))
    assert call(Client().get, job.id).payload == {"page": "/", "version": 3}


def test_the_export_prints_each_job_with_its_payload(
    stack: ApiServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOB_RUNNERS_URL", stack.url)
    client = Client(organization_id="acme")
    dispatched = call(client.dispatch, "index_page", {"page": "/", "version": 1})
    capsys.readouterr()
    call(exec, compile(snippets("../operate/data")[0], "export", "exec"), {})
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["id"] == dispatched.id
    assert json.loads(line)["payload"] == {"page": "/", "version": 1}


def test_jobs_that_have_not_begun_move_to_another_stack_once(
    stack: ApiServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOB_RUNNERS_URL", stack.url)
    old, new = (Client(organization_id=each) for each in ("old", "new"))  # of one stack, here
    later = datetime.now(UTC) + timedelta(days=1)
    moved = call(lambda: old.dispatch("count_letters", run_at=later, queue_name="may"))
    call(lambda: old.dispatch("count_letters", {"number": 2}, delay=60))
    left = call(lambda: old.dispatch("count_letters", delay=60, on_end="count_letters"))
    monkeypatch.setattr("boto3.Session", MagicMock())
    for done in (["left", "moved", "moved"], ["left"]):
        monkeypatch.setattr("job_runners.Client", Mock(side_effect=[old, new]))
        capsys.readouterr()
        call(run_script, "move_jobs.py", "acme")
        lines = capsys.readouterr().out.splitlines()
        assert sorted(each.split()[0] for each in lines) == done
    jobs = call(lambda: list(new.list()))
    assert len(jobs) == 2
    assert ("may", "scheduled") in [(each.queue_name, each.status) for each in jobs]
    statuses = {each.id: each.status for each in call(lambda: list(old.list()))}
    assert (statuses[moved.id], statuses.pop(left.id)) == ("canceled", "scheduled")
    assert set(statuses.values()) == {"canceled"}


class Invite(BaseModel):
    names: list[str]


def invite(job: RunningJob, payload: Invite) -> None:
    """Do nothing."""


def test_the_jobs_with_a_wrong_payload_are_listed(
    stack: ApiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sample_work.JOBS, "invite", Job(invite))
    monkeypatch.chdir(tmp_path)
    client = Client(url=stack.url, organization_id="acme")
    for names in (["Ada"], ["Grace"]):
        dispatched = call(lambda names=names: client.dispatch("invite", {"names": names}, delay=60))
    (script,) = [each for each in snippets("../control") if "wrong.txt" in each]
    call(exec, compile(script, "control", "exec"), {})
    (found,) = (tmp_path / "wrong.txt").read_text().split()
    assert found != dispatched.id


def test_the_drill_retries_one_bugs_jobs_in_each_organization(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client = create_autospec(Client, instance=True)
    client.failures.side_effect = lambda organization_id: [
        Mock(id=f"{organization_id}/{kind}", job_type="import_orders", error_kind=kind)
        for kind in ("KeyError", "OSError")
    ]
    client.list.side_effect = lambda failure, organization_id: iter(
        [Mock(id=f"{failure}/{number}") for number in (1, 2)]
    )
    client.retry.side_effect = [None, Conflict("retried", status=409), None, None]
    monkeypatch.setattr("job_runners.Client", Mock(return_value=client))
    monkeypatch.setattr("time.sleep", Mock())
    run_script("retry_everywhere.py")
    assert client.retry.mock_calls == [
        mock_call(f"{organization}/KeyError/{number}")
        for organization in ("acme", "globex")
        for number in (1, 2)
    ]
    assert capsys.readouterr().out.splitlines()[1:] == ["acme 1", "globex 2"]


def test_the_jobs_with_one_persons_data_are_found(
    stack: ApiServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOB_RUNNERS_URL", stack.url)
    client = Client(organization_id="acme")
    for page in ("ada@example.com", "bob@example.com"):
        job = call(client.dispatch, "index_page", {"page": page, "version": 1})
    capsys.readouterr()
    call(exec, compile(snippets("../operate/data")[1], "erasing", "exec"), {})
    (found,) = capsys.readouterr().out.split()
    assert found != job.id
    assert call(client.get, found).payload["page"] == "ada@example.com"


SCHEMA = """
CREATE TABLE orders (id INTEGER PRIMARY KEY, words TEXT NOT NULL CHECK (words <> ''));
"""


class Words(sample_work.Sample):
    """The payload of the pages' job."""

    words: list[str]


def count(job: Any, payload: Words) -> int:
    return len(payload.words)


@pytest.fixture
def database(tmp_path: Any) -> str:
    path = str(tmp_path / "orders.db")
    with closing(sqlite3.connect(path)) as made:
        made.executescript(SCHEMA)
    return path


class Psycopg:
    """A connection to SQLite that takes what the page says to a connection of psycopg."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def transaction(self) -> sqlite3.Connection:
        return self._connection

    def execute(self, query: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        query = query.replace("%s", "?").replace("FOR UPDATE SKIP LOCKED", "")
        return self._connection.execute(query, values)


def psycopg_page(number: int, stack: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sample_work.JOBS, "count_letters", Job(count))
    monkeypatch.setitem(sys.modules, "psycopg", made := ModuleType("psycopg"))
    made.Connection = Psycopg  # type: ignore[attr-defined]
    monkeypatch.setenv("JOB_RUNNERS_URL", stack.url)
    return module("page", snippets("dispatch_after_a_commit")[number], monkeypatch)


@pytest.mark.parametrize(("number", "name"), [(3, "place_order"), (4, "place_order_safely")])
def test_an_order_is_dispatched_once_after_its_commit(
    number: int, name: str, stack: ApiServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = psycopg_page(number, stack, monkeypatch)

    def orders() -> list[str]:
        with closing(sqlite3.connect(database)) as connection:
            place(connection)
        catch_up()
        return [job.id for job in Client().list()]

    def place(connection: sqlite3.Connection) -> None:
        if number == 4:
            connection.execute(page.OUTBOX)
        getattr(page, name)(Psycopg(connection), "one two")
        assert not connection.in_transaction
        with pytest.raises(sqlite3.IntegrityError):
            getattr(page, name)(Psycopg(connection), "")
        if number == 4:
            # The process was killed before it deleted the row.
            rows = [("order-1", "count_letters", '{"words": ["one", "two"]}')]
            connection.executemany(INSERT, rows)
            connection.commit()
            send(page, connection, monkeypatch)
            assert connection.execute("SELECT * FROM outbox").fetchall() == []

    assert len(call(orders)) == 1


def test_the_job_bills_orders_over_a_connection_with_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", made := ModuleType("psycopg"))
    made.Connection = Psycopg  # type: ignore[attr-defined]
    orders, entries, *_ = snippets("databases")
    module("acme", entries, monkeypatch)
    module("acme.orders", orders, monkeypatch)
    names = ("HOST", "NAME", "USER", "PASSWORD")
    set_here = {f"APP_SETTING_DATABASE_{name}": name for name in names}
    with closing(sqlite3.connect(":memory:")) as connection:
        made.connect = connect = Mock(return_value=nullcontext(Psycopg(connection)))  # type: ignore[attr-defined]
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, billed BOOL)")
        connection.execute("INSERT INTO orders (billed) VALUES (false), (true), (false)")
        connection.commit()
        with inline_runner(MovableClock(), {"JOBS_PACKAGES": "acme", **set_here}) as job_runner:
            assert run(job_runner, "bill_orders", {}) == 2
            assert run(job_runner, "bill_orders", {}) == 0
    where = {"host": "HOST", "dbname": "NAME", "user": "USER", "password": "PASSWORD"}
    connect.assert_called_with(**where, connect_timeout=10, autocommit=True)


def test_jobs_run_in_the_context_of_one_flask_application(monkeypatch: pytest.MonkeyPatch) -> None:
    pool, context = object(), MagicMock()
    context.__exit__.return_value = False
    psycopg, shop = Mock(Connection=Psycopg), Mock()
    shop.create_app.return_value.app_context.return_value = context
    installed = {
        "psycopg": psycopg,
        "sqlalchemy": Mock(),
        "sqlalchemy.pool": Mock(NullPool=pool),
        "flask": Mock(),
        "shop": shop,
    }
    for name, mock in installed.items():
        monkeypatch.setitem(sys.modules, name, mock)

    def work(job: RunningJob, payload: sample_work.Sample) -> None:
        assert context.__enter__.call_count == context.__exit__.call_count + 1
        raise DoNotRetry

    orders, _, _, web = snippets("databases")
    acme = module("acme", "AROUND = ['acme.web:app_context']", monkeypatch)
    acme.JOBS = {"uses_models": Job(work)}
    module("acme.orders", orders, monkeypatch)
    module("acme.web", web, monkeypatch)
    settings = {f"APP_SETTING_DATABASE_{it}": it for it in ("HOST", "NAME", "USER", "PASSWORD")}
    with inline_runner(MovableClock(), {"JOBS_PACKAGES": "acme", **settings}) as job_runner:
        for _ in range(2):
            assert assert_failed(job_runner.run("uses_models", {})).kind == "DoNotRetry"
        (config,) = shop.create_app.call_args.args
        engine = config["SQLALCHEMY_ENGINE_OPTIONS"]
        engine["creator"]()
    shop.create_app.assert_called_once()
    assert (context.__enter__.call_count, context.__exit__.call_count) == (2, 2)
    assert engine["poolclass"] is pool
    assert psycopg.connect.call_args.kwargs["autocommit"] is False


INSERT = "INSERT INTO outbox (key, job_type, payload) VALUES (?, ?, ?)"


def send(page: Any, connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    connected = nullcontext(Psycopg(connection))
    connect = Mock(return_value=connected)
    monkeypatch.setattr(page.psycopg, "connect", connect, raising=False)
    monkeypatch.setenv("DATABASE_URL", "postgres://")
    page.handler({}, None)
    connect.assert_called_once_with("postgres://", autocommit=True)


@pytest.fixture
def outbox(stack: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import the page's outbox, with a client of the local API."""
    return psycopg_page(4, stack, monkeypatch)


def test_refused_rows_of_the_outbox_do_not_block_the_others(
    outbox: Any, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = '{"words": ["one"]}'
    rows = [
        ("order-1", "count_letters", words),
        ("order-2", "unknown", words),
        ("order-3", "count_letters", '{"words": 3}'),
        ("order-4", "count_letters", '{"words": ["other"]}'),  # its key is another request's
        ("order-5", "count_letters", words),
    ]

    def sent() -> tuple[list[str], dict[str, str], int]:
        Client().dispatch("count_letters", {"words": ["one"]}, idempotency_key="order-4")
        with closing(sqlite3.connect(database)) as connection:
            connection.execute(outbox.OUTBOX)
            connection.executemany(INSERT, rows)
            connection.commit()
            for _ in range(2):
                with pytest.raises(RuntimeError, match="3 rows of the outbox are refused"):
                    send(outbox, connection, monkeypatch)
            left = dict(connection.execute("SELECT key, refused FROM outbox"))
        found = [key for key, *_ in rows if Client().find(idempotency_key=key)]
        catch_up()
        return found, left, len(list(Client().list()))

    found, left, jobs = call(sent)
    assert (found, jobs) == (["order-1", "order-4", "order-5"], 3)
    assert list(left) == ["order-2", "order-3", "order-4"]
    assert "unknown" in left["order-2"]
    assert all(left.values())


def test_an_order_is_placed_and_its_dispatch_is_kept_while_the_api_is_away(
    outbox: Any, database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox, "client", client := Mock())
    client.dispatch.side_effect = NoAnswer("away")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(outbox.OUTBOX)
        outbox.place_order_safely(Psycopg(connection), "one two")
        assert not connection.in_transaction
        with pytest.raises(NoAnswer):
            send(outbox, connection, monkeypatch)
        (kept,) = connection.execute("SELECT key, refused FROM outbox").fetchall()
        assert connection.execute("SELECT words FROM orders").fetchall() == [("one two",)]
    assert kept == ("order-1", None)
    assert "Could not send from the outbox" in caplog.text


@pytest.fixture
def dynamodb_outbox(stack: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import the page's outbox in DynamoDB, with its tables."""
    monkeypatch.setitem(sample_work.JOBS, "count_letters", Job(count))
    monkeypatch.setenv("JOB_RUNNERS_URL", stack.url)
    monkeypatch.setenv("OUTBOX_TABLE", "outbox")
    page = (ROOT / "docs/guides/dispatch_after_a_commit.md").read_text()
    (table,) = re.findall(r"^Outbox:\n.*?(?=^\w)", page, re.DOTALL | re.MULTILINE)
    properties = yaml.safe_load(table)["Outbox"]["Properties"]
    stream = properties.pop("StreamSpecification") | {"StreamEnabled": True}
    made = full_client("dynamodb")
    made.create_table(TableName="orders", **properties)
    made.create_table(TableName="outbox", **properties, StreamSpecification=stream)
    return module("page", snippets("dispatch_after_a_commit")[8], monkeypatch)


def items(table: str) -> list[str]:
    return [item["id"]["S"] for item in scanned(table)]


def scanned(table: str) -> list[dict[str, Any]]:
    found = full_client("dynamodb").scan(TableName=table, ConsistentRead=True)
    return list(found["Items"])


def streamed() -> dict[str, Any]:
    """Return the event with which the outbox's stream calls a function."""
    new = scanned("outbox")
    return {"Records": [{"eventName": "INSERT", "dynamodb": {"NewImage": each}} for each in new]}


def test_an_order_in_dynamodb_is_saved_with_its_dispatch_or_not_at_all(
    dynamodb_outbox: Any,
) -> None:
    dynamodb_outbox.place_order("1", "one two")
    with pytest.raises(dynamodb_outbox.dynamodb.exceptions.TransactionCanceledException):
        dynamodb_outbox.place_order("1", "other")
    assert (items("orders"), items("outbox")) == (["1"], ["order-1"])
    event = streamed()
    for _ in range(2):  # Lambda may call it twice with the same records
        call(dynamodb_outbox.handler, event, None)
    assert items("outbox") == []
    (job,) = call(lambda: list(Client().list()))
    assert call(Client().get, job.id).payload == {"words": ["one", "two"]}


def test_entries_in_dynamodb_that_are_left_are_sent_and_refused_ones_block_no_others(
    dynamodb_outbox: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for order in ("1", "2"):
        dynamodb_outbox.place_order(order, "one")
    away = Mock(**{"dispatch.side_effect": NoAnswer("away")})
    with monkeypatch.context() as here:
        here.setattr(dynamodb_outbox, "client", away)
        with pytest.raises(NoAnswer):
            dynamodb_outbox.handler(streamed(), None)
    assert len(items("outbox")) == 2
    unknown = {"id": {"S": "order-0"}, "job_type": {"S": "unknown"}, "payload": {"S": "{}"}}
    full_client("dynamodb").put_item(TableName="outbox", Item=unknown)
    call(dynamodb_outbox.handler, {}, None)
    with pytest.raises(RuntimeError, match="1 entries of the outbox are refused"):
        call(dynamodb_outbox.handler, {}, None)
    (left,) = scanned("outbox")
    assert left["id"] == unknown["id"]
    assert "unknown" in left["refused"]["S"]
    assert len(call(lambda: list(Client().list()))) == 2


def test_sqlalchemy_dispatches_after_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Mock()
    monkeypatch.setitem(sys.modules, "sqlalchemy", Mock())
    monkeypatch.setitem(sys.modules, "sqlalchemy.orm", Mock(sessionmaker=list))
    monkeypatch.setenv("JOB_RUNNERS_URL", "http://127.0.0.1:9")
    page = module("page", snippets("dispatch_after_a_commit")[2], monkeypatch)
    monkeypatch.setattr(page, "client", made.client)
    sessions = MagicMock()
    made.attach_mock(sessions.begin.return_value.__exit__, "commit")
    made.commit.return_value = False
    order = Mock(id=17, words="one")
    page.place_order(sessions, order)
    dispatched = mock_call.client.dispatch(
        "count_letters", {"words": ["one"]}, idempotency_key="order-17"
    )
    assert made.mock_calls == [mock_call.commit(None, None, None), dispatched]
    sessions.begin.return_value.__enter__.return_value.flush.side_effect = KeyError
    with pytest.raises(KeyError):
        page.place_order(sessions, order)
    assert made.mock_calls.count(dispatched) == 1
