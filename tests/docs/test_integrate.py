"""The code of the pages about databases, follow-ups and the client's requests, run."""

import re
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock, Mock
from unittest.mock import call as mock_call

import pytest
import yaml
from pydantic import BaseModel

import sample_work
from api_server import ApiServer
from job_runners import Client, NoAnswer
from job_runners.client import stack_outputs
from job_runners.places import ROOT
from job_runners.testing.job_runner import inline_runner
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.plain_clients import full_client
from job_runners.testing.saved_jobs import SavedJobs, assert_failed, assert_succeeded
from job_runners.work import DoNotRetry, Job, JobEnded, RunningJob
from job_runners.work.job_ended import samples
from shown_code import blocks, module
from shown_requests import answer_requests
from stale_reads import catch_up

EXAMPLES = ROOT / "examples/outbox"


def snippets(name: str) -> list[str]:
    return blocks((ROOT / "docs/integrate" / f"{name}.md").read_text())


# --- client.md ------------------------------------------------------------------------------------


class Invite(BaseModel):
    names: list[str]


def invite(job: RunningJob, payload: Invite) -> None:
    """Do nothing."""


def test_the_requests_of_the_page_are_answered_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    table = ModuleType("invitations")
    table.JOBS = {"invite": Job(invite)}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "invitations", table)
    page = (ROOT / "docs/integrate/client.md").read_text()
    with inline_runner(environment={"JOBS_PACKAGES": "invitations"}):
        assert answer_requests(page) == 9


# --- follow_ups.md --------------------------------------------------------------------------------


def test_the_follow_up_of_the_guide_is_told_of_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_luck(job: RunningJob, payload: JobEnded) -> None:
        raise ValueError("no luck")

    (code,) = snippets("follow_ups")
    guide = module("told_guide", code, monkeypatch)
    failing = guide.JOBS["import_orders"].__replace__(function=no_luck)
    monkeypatch.setitem(guide.JOBS, "import_orders", failing)
    with inline_runner(environment={"JOBS_PACKAGES": "told_guide"}) as job_runner:
        (payload,) = samples("on_failure")
        failed = job_runner.run("import_orders", payload)
        (told,) = [job for job in SavedJobs() if job.id != failed.id]
        assert told.result == f"import_orders {failed.id} failed (ValueError: no luck)"


# --- databases.md ---------------------------------------------------------------------------------


@pytest.fixture
def stack(api_server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> ApiServer:
    """Let every stack be found, with the pages' job."""
    found = stack_outputs.Outputs(api_server.url, "bucket")
    monkeypatch.setattr(stack_outputs, "find_outputs", lambda *_: found)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("JOB_RUNNERS_URL", api_server.url)
    monkeypatch.setitem(sample_work.JOBS, "count_letters", Job(count))
    return api_server


def in_a_thread(function: Any, *arguments: Any) -> Any:
    catch_up()  # most pages list what they have dispatched before
    with ThreadPoolExecutor(1) as pool:  # Playwright's loop may run in the tests' thread
        return pool.submit(function, *arguments).result()


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


def test_an_order_is_dispatched_once_after_its_commit(
    outbox: Any, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def orders() -> list[str]:
        with closing(sqlite3.connect(database)) as connection:
            place(connection)
        catch_up()
        return [job.id for job in Client().list()]

    def place(connection: sqlite3.Connection) -> None:
        connection.execute(outbox.OUTBOX)
        outbox.place_order_safely(Psycopg(connection), "one two")
        assert not connection.in_transaction
        with pytest.raises(sqlite3.IntegrityError):
            outbox.place_order_safely(Psycopg(connection), "")
        # The process was killed before it deleted the row.
        rows = [("order-1", "count_letters", '{"words": ["one", "two"]}')]
        connection.executemany(INSERT, rows)
        connection.commit()
        send(outbox, connection, monkeypatch)
        assert connection.execute("SELECT * FROM outbox").fetchall() == []

    assert len(in_a_thread(orders)) == 1


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
    monkeypatch.setitem(sys.modules, "psycopg", made := ModuleType("psycopg"))
    made.Connection = Psycopg  # type: ignore[attr-defined]
    return module("page", snippets("databases")[2], monkeypatch)


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

    found, left, jobs = in_a_thread(sent)
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


def test_the_job_bills_orders_over_a_connection_with_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", made := ModuleType("psycopg"))
    made.Connection = Psycopg  # type: ignore[attr-defined]
    orders, entries = snippets("databases")[3:5]
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
            for billed in (2, 0):
                assert assert_succeeded(job_runner.run("bill_orders", {})) == billed
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

    orders, _, _, web = snippets("databases")[3:]
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


def test_sqlalchemy_dispatches_after_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Mock()
    monkeypatch.setitem(sys.modules, "sqlalchemy", Mock())
    monkeypatch.setitem(sys.modules, "sqlalchemy.orm", Mock(sessionmaker=list))
    monkeypatch.setenv("JOB_RUNNERS_URL", "http://127.0.0.1:9")
    page = module("page", snippets("databases")[1], monkeypatch)
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


@pytest.fixture
def dynamodb_outbox(stack: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import the page's outbox in DynamoDB, with its tables."""
    monkeypatch.setitem(sample_work.JOBS, "count_letters", Job(count))
    monkeypatch.setenv("JOB_RUNNERS_URL", stack.url)
    monkeypatch.setenv("OUTBOX_TABLE", "outbox")
    (table,) = re.findall(
        r"^  Outbox:\n.*?(?=^  \w)",
        (EXAMPLES / "template.yaml").read_text(),
        re.DOTALL | re.MULTILINE,
    )
    properties = yaml.safe_load(table)["Outbox"]["Properties"]
    stream = properties.pop("StreamSpecification") | {"StreamEnabled": True}
    made = full_client("dynamodb")
    made.create_table(TableName="orders", **properties)
    made.create_table(TableName="outbox", **properties, StreamSpecification=stream)
    return module("page", (EXAMPLES / "dynamodb_outbox.py").read_text(), monkeypatch)


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
        in_a_thread(dynamodb_outbox.handler, event, None)
    assert items("outbox") == []
    (job,) = in_a_thread(lambda: list(Client().list()))
    assert in_a_thread(Client().get, job.id).payload == {"words": ["one", "two"]}


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
    in_a_thread(dynamodb_outbox.handler, {}, None)
    with pytest.raises(RuntimeError, match="1 entries of the outbox are refused"):
        in_a_thread(dynamodb_outbox.handler, {}, None)
    (left,) = scanned("outbox")
    assert left["id"] == unknown["id"]
    assert "unknown" in left["refused"]["S"]
    assert len(in_a_thread(lambda: list(Client().list()))) == 2
