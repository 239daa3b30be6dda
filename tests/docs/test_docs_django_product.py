"""The guides for a product in Django: dispatches after a commit, an outbox, its settings in jobs,
and e-mail. All of it runs in one process, because a process has one Django."""

import re
from pathlib import Path

import django_tests
from job_runners.places import ROOT

GUIDES = ROOT / "docs/guides"
DISPATCH = (GUIDES / "dispatch_after_a_commit.md").read_text()
ORM = (GUIDES / "django_orm.md").read_text()


def snippet(page: str, name: str, which: int = 0) -> str:
    """Return the snippet of a page whose first line names a file."""
    found: list[str] = re.findall(rf"```python\n(# {re.escape(name)}.*?)```", page, re.DOTALL)
    return found[which]


WEBSITE = """
import os

SECRET_KEY = os.environ["SECRET_KEY"]
EMAIL_HOST_PASSWORD = os.environ["EMAIL_HOST_PASSWORD"]
EMAIL_HOST, EMAIL_PORT, EMAIL_HOST_USER = "127.0.0.1", 587, "shop"
DATABASES = {"default": {"ENGINE": "django.db.backends.dummy"}}
INSTALLED_APPS = ["shop"]
ROOT_URLCONF = "website.urls"
LOGGING = {
    "version": 1,
    "handlers": {"own": {"class": "logging.NullHandler"}},
    "root": {"handlers": ["own"]},
}
"""
URLS = """
from django.http import HttpResponse
from django.urls import path
from shop.models import Order
from shop.orders import place_order

def orders(request):
    place_order(Order(words=request.POST["words"]))
    return HttpResponse(status=201)

urlpatterns = [path("orders/", orders)]
"""
ORDER = """
class Order(models.Model):
    words = models.TextField()
"""
CONFTEST = (
    """
import acme.orm
from django.conf import settings
settings.DATABASES["default"]["NAME"] = "shop.db"
"""
    + django_tests.PYTEST_DJANGO
)

COMMITS = '''
from functools import partial
from unittest.mock import Mock

import pytest
from django.db import connection, transaction
from job_runners import NoAnswer
from shop import orders
from shop.models import Order


@pytest.fixture
def dispatch(transactional_db, monkeypatch):
    """Replace the client, which must be called after the commit."""
    def dispatch(*given, **named):
        assert not connection.in_atomic_block
        return made(*given, **named)

    made = Mock()
    monkeypatch.setattr(orders, "client", Mock(dispatch=dispatch))
    return made


def test_nothing_is_dispatched_after_a_rollback(dispatch):
    with pytest.raises(KeyError), transaction.atomic():
        orders.place_order(Order(words="one"))
        raise KeyError
    assert dispatch.call_count == Order.objects.count() == 0


def test_an_error_of_the_dispatch_is_logged_and_later_callbacks_are_called(dispatch, caplog):
    dispatch.side_effect = NoAnswer("away")
    later = Mock()
    with transaction.atomic():
        orders.place_order(Order(words="one"))
        transaction.on_commit(later)
    assert "away" in caplog.text
    assert dispatch.call_count == later.call_count == Order.objects.count() == 1


def test_without_robust_the_error_is_raised_and_later_callbacks_are_skipped(transactional_db):
    later = Mock()
    with pytest.raises(NoAnswer), transaction.atomic():
        transaction.on_commit(Mock(side_effect=NoAnswer("away")))
        transaction.on_commit(later)
    assert not later.called


def test_django_cannot_log_the_error_of_a_partial(transactional_db):
    with pytest.raises(AttributeError), transaction.atomic():
        transaction.on_commit(partial(Mock(side_effect=NoAnswer("away"))), robust=True)
'''

OUTBOX = '''
from unittest.mock import create_autospec

import outbox as function
import pytest
from django.db import IntegrityError, connection, transaction
from job_runners import Client, Conflict, InvalidRequest, NoAnswer
from shop import outbox
from shop.models import Order, Outbox

LOCKED = " FOR UPDATE SKIP LOCKED"


@pytest.fixture
def dispatch(transactional_db, monkeypatch):
    client = create_autospec(Client, instance=True)
    monkeypatch.setattr(outbox, "client", client)
    return client.dispatch


@pytest.fixture
def queries(monkeypatch):
    """Let SQLite take the queries of Postgres, and return those that lock a row."""
    seen = []

    def execute(execute, sql, params, many, context):
        if LOCKED in sql:
            assert connection.in_atomic_block
            seen.append(sql)
        return execute(sql.replace(LOCKED, ""), params, many, context)

    for feature in ("has_select_for_update", "has_select_for_update_skip_locked"):
        monkeypatch.setattr(connection.features, feature, True)
    with connection.execute_wrapper(execute):
        yield seen


def sent(dispatch):
    return [call.kwargs["idempotency_key"] for call in dispatch.call_args_list]


def test_an_order_is_sent_once_after_its_commit(dispatch, queries):
    outbox.place_order_safely(Order(words="one two"))
    key = f"order-{Order.objects.get().pk}"
    words = {"words": ["one", "two"]}
    dispatch.assert_called_once_with("count_letters", words, idempotency_key=key)
    assert not Outbox.objects.exists()
    assert len(queries) == 1


def test_an_order_and_its_row_are_saved_together_or_not_at_all(dispatch):
    with pytest.raises(KeyError), transaction.atomic():
        outbox.place_order_safely(Order(words="one"))
        raise KeyError
    Outbox.objects.create(key="order-7", job_type="count_letters", payload={})
    with pytest.raises(IntegrityError):
        outbox.place_order_safely(Order(pk=7, words="one"))
    assert not Order.objects.exists()
    assert not dispatch.called


def test_a_row_is_kept_while_the_api_is_away(dispatch, caplog):
    dispatch.side_effect = NoAnswer("away")
    outbox.place_order_safely(Order(words="one"))
    assert "away" in caplog.text
    with pytest.raises(NoAnswer):
        function.handler({}, None)
    assert connection.connection is None
    dispatch.side_effect = None
    function.handler({}, None)
    assert len(set(sent(dispatch))) == 1
    assert dispatch.call_count == 3
    assert (Order.objects.count(), Outbox.objects.count()) == (1, 0)


def test_refused_rows_do_not_block_the_others(dispatch, queries):
    refused = {
        "order-2": InvalidRequest("unknown", status=422),
        "order-3": Conflict("another request", status=409),
        "order-4": ValueError("nan"),
    }

    def dispatched(job_type, payload, *, idempotency_key):
        if idempotency_key in refused:
            raise refused[idempotency_key]

    dispatch.side_effect = dispatched
    keys = [f"order-{number}" for number in range(1, 6)]
    rows = [Outbox(key=key, job_type="count_letters", payload={}) for key in keys]
    Outbox.objects.bulk_create(rows)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="3 rows of the outbox are refused"):
            function.handler({}, None)
    assert sent(dispatch) == keys
    left = dict(Outbox.objects.values_list("key", "refused"))
    assert left == {key: str(error) for key, error in refused.items()}
    refused.clear()
    Outbox.objects.update(refused=None)
    function.handler({}, None)
    assert not Outbox.objects.exists()
'''

MAILS = '''
import logging
from base64 import b64decode
from socketserver import StreamRequestHandler, TCPServer
from threading import Thread

import pytest
from job_runners.testing.saved_jobs import assert_failed, assert_succeeded

ACCEPTS = {
    "CONNECT": "220 here",
    "EHLO": "250-here\\r\\n250 AUTH PLAIN",
    "AUTH": "235 ok",
    "DATA": "354 go on",
    "QUIT": "221 bye",
}
DROPS = ""


@pytest.fixture
def job_settings():
    return {
        **{f"APP_SETTING_DATABASE_{name}": "-" for name in ("HOST", "USER", "PASSWORD")},
        "APP_SETTING_DATABASE_NAME": "shop.db",
        "APP_SETTING_SECRET_KEY": "key of the stack",
        "APP_SETTING_EMAIL_HOST_PASSWORD": "password of the stack",
    }


@pytest.fixture
def server(monkeypatch):
    """Start a mail server, which answers each command of `once` once with that."""

    class Smtp(StreamRequestHandler):
        def handle(self):
            for word in self.words():
                server.seen.append(word)
                reply = server.once.pop(word, ACCEPTS.get(word, "250 ok"))
                if reply == DROPS:
                    return
                self.wfile.write(f"{reply}\\r\\n".encode())
                self.is_data = reply.startswith("354")

        def words(self):
            yield "CONNECT"
            while line := self.rfile.readline().decode().strip():
                if line.startswith("AUTH"):
                    server.password = b64decode(line.split()[-1]).split(b"\\0")[-1].decode()
                yield line.split(" ")[0].upper()
                if self.is_data:
                    while self.rfile.readline() != b".\\r\\n":
                        pass
                    yield "END"

    with TCPServer(("127.0.0.1", 0), Smtp) as server:
        server.seen, server.once = [], {}
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        from django.conf import settings
        monkeypatch.setattr(settings, "EMAIL_PORT", server.server_address[1])
        yield server
        server.shutdown()
        thread.join()


PAYLOAD = {"to": "ada@example.com", "text": "Thank you"}


def test_a_job_has_the_settings_of_the_product_and_the_secrets_of_the_stack(job_runner, server):
    from django.conf import settings
    assert settings.ROOT_URLCONF == "website.urls"
    assert_succeeded(job_runner.run("mail", PAYLOAD))
    assert settings.SECRET_KEY == "key of the stack"
    assert server.password == "password of the stack"
    handlers = [type(each) for each in logging.getLogger().handlers]
    assert logging.NullHandler not in handlers


@pytest.mark.parametrize(
    ("word", "reply"),
    [
        ("CONNECT", "421 busy"),
        ("EHLO", DROPS),
        ("AUTH", "535 wrong"),
        ("MAIL", "451 later"),
        ("RCPT", "450 later"),
        ("DATA", "451 later"),
        ("END", "452 full"),
    ],
)
def test_what_the_server_refused_is_sent_again(job_runner, server, word, reply):
    server.once[word] = reply
    job = job_runner.run("mail", PAYLOAD)
    assert_succeeded(job)
    assert (job.attempt, server.once) == (2, {})


@pytest.mark.parametrize("word", ["MAIL", "END"])
def test_what_the_server_may_have_taken_is_not_sent_again(job_runner, server, word):
    server.once[word] = DROPS
    job = job_runner.run("mail", PAYLOAD)
    assert "may have taken" in assert_failed(job, "DoNotRetry").message
    assert (job.attempt, server.seen.count("CONNECT")) == (1, 1)


def test_a_lost_goodbye_is_no_failure(job_runner, server):
    server.once["QUIT"] = DROPS
    assert_succeeded(job_runner.run("mail", PAYLOAD))
    assert server.seen.count("END") == 1
'''


def test_a_product_in_django_dispatches_and_lends_its_settings_to_jobs(tmp_path: Path) -> None:
    (around,) = re.findall(r"`(AROUND = .*?)`", ORM)
    settings = snippet(ORM, "acme/django_settings.py", 1)
    models = snippet(DISPATCH, "shop/models.py")
    app = {
        "acme/__init__.py": f"{snippet(ORM, 'acme/__init__.py', 1)}\n{around}\n",
        "acme/django_settings.py": settings.replace("postgresql", "sqlite3"),
        **{f"acme/{name}.py": snippet(ORM, f"acme/{name}.py") for name in ("orm", "mails")},
        "acme/secrets.py": snippet(ORM, "acme/secrets.py"),
        "tests/conftest.py": CONFTEST,
        "tests/test_orders.py": snippet(DISPATCH, "tests/test_orders.py"),
        "tests/test_commits.py": COMMITS,
        "tests/test_outbox.py": OUTBOX,
        "tests/test_mails.py": MAILS,
    }
    installed = {
        "website/__init__.py": "",
        "website/settings.py": WEBSITE,
        "website/urls.py": URLS,
        "shop/__init__.py": "",
        "shop/models.py": models + ORDER,
        "shop/orders.py": snippet(DISPATCH, "shop/orders.py"),
        "shop/outbox.py": snippet(DISPATCH, "shop/outbox.py"),
        "outbox.py": snippet(DISPATCH, "outbox.py, next to manage.py"),
    }
    output = django_tests.run(tmp_path, app, installed, JOB_RUNNERS_URL="http://127.0.0.1:9")
    assert "20 passed" in output, output
