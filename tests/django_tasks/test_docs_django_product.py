"""For a product in Django: dispatches after a commit, the outbox of examples, and its settings in
jobs. All of it runs in one process, because a process has one Django."""

from pathlib import Path

import django_tests
from job_runners.places import ROOT

DISPATCH = (ROOT / "docs/integrate/databases.md").read_text()
EXAMPLE = ROOT / "examples/outbox"


WEBSITE = """
import os

SECRET_KEY = os.environ["SECRET_KEY"]
DATABASES = {"default": {"ENGINE": "django.db.backends.dummy"}}
INSTALLED_APPS = ["shop", "django_outbox"]
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
MODELS = """
from django.db import models

class Order(models.Model):
    words = models.TextField()
"""
# As the page says: placeholders first, and then the stack's secrets.
SETTINGS = """
import os
os.environ.setdefault("SECRET_KEY", "a placeholder")
from website.settings import *
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3"}}
LOGGING_CONFIG = None
"""
JOBS = """
from contextlib import contextmanager
from acme.orm import database
from django.conf import settings
from pydantic import BaseModel
from job_runners.work import CurrentWork, Job, RunningJob, app_setting

class Nothing(BaseModel):
    pass

@contextmanager
def secrets(work: CurrentWork):
    settings.SECRET_KEY = app_setting("SECRET_KEY")
    yield

def show(job: RunningJob, payload: Nothing) -> str:
    return settings.SECRET_KEY

JOBS = {"show": Job(show)}
AROUND = [database, secrets]
"""
CONFTEST = """
import acme.orm
from django.conf import settings
settings.DATABASES["default"]["TEST"]["NAME"] = "shop.db"  # not in memory, so it can be closed
"""

# As the page says: the callbacks are run, and the client refuses wrong arguments.
ORDERS = """
from unittest.mock import create_autospec

from shop.models import Order

from job_runners import Client


def test_a_new_order_is_counted(client, db, monkeypatch, django_capture_on_commit_callbacks):
    jobs = create_autospec(Client, instance=True)
    monkeypatch.setattr("shop.orders.client", jobs)
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/orders/", {"words": "one two"})  # its view calls place_order
    key = f"order-{Order.objects.get().pk}"
    jobs.dispatch.assert_called_once_with(
        "count_letters", {"words": ["one", "two"]}, idempotency_key=key
    )
"""

COMMITS = '''
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
'''

OUTBOX = '''
from unittest.mock import create_autospec

import django_handler as function
import pytest
from django.db import IntegrityError, connection, transaction
from job_runners import Client, Conflict, InvalidRequest, NoAnswer
from django_outbox import sending
from django_outbox.models import Outbox
from shop.models import Order

LOCKED = " FOR UPDATE SKIP LOCKED"


@pytest.fixture
def dispatch(transactional_db, monkeypatch):
    client = create_autospec(Client, instance=True)
    monkeypatch.setattr(sending, "client", client)
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


@transaction.atomic
def place_order(order):
    order.save()
    payload = {"words": order.words.split()}
    sending.dispatch_later("count_letters", payload, key=f"order-{order.pk}")


def sent(dispatch):
    return [call.kwargs["idempotency_key"] for call in dispatch.call_args_list]


def test_an_order_is_sent_once_after_its_commit(dispatch, queries):
    place_order(Order(words="one two"))
    key = f"order-{Order.objects.get().pk}"
    words = {"words": ["one", "two"]}
    dispatch.assert_called_once_with("count_letters", words, idempotency_key=key)
    assert not Outbox.objects.exists()
    assert len(queries) == 1


def test_an_order_and_its_row_are_saved_together_or_not_at_all(dispatch):
    with pytest.raises(KeyError), transaction.atomic():
        place_order(Order(words="one"))
        raise KeyError
    Outbox.objects.create(key="order-7", job_type="count_letters", payload={})
    with pytest.raises(IntegrityError):
        place_order(Order(pk=7, words="one"))
    assert not Order.objects.exists()
    assert not dispatch.called


def test_a_row_is_kept_while_the_api_is_away(dispatch, caplog):
    dispatch.side_effect = NoAnswer("away")
    place_order(Order(words="one"))
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

SECRETS = """
import logging

import pytest
from job_runners.testing.saved_jobs import assert_succeeded


@pytest.fixture
def job_settings():
    return {
        **{f"APP_SETTING_DATABASE_{name}": "-" for name in ("HOST", "USER", "PASSWORD")},
        "APP_SETTING_DATABASE_NAME": "shop.db",
        "APP_SETTING_SECRET_KEY": "key of the stack",
    }


def test_a_job_has_the_settings_of_the_product_and_the_secrets_of_the_stack(job_runner):
    from django.conf import settings
    assert settings.ROOT_URLCONF == "website.urls"
    assert assert_succeeded(job_runner.run("show", {})) == "key of the stack"
    handlers = [type(each) for each in logging.getLogger().handlers]
    assert logging.NullHandler not in handlers
"""


def test_a_product_in_django_dispatches_and_lends_its_settings_to_jobs(tmp_path: Path) -> None:
    app = {
        "acme/__init__.py": JOBS,
        "acme/django_settings.py": SETTINGS,
        "acme/orm.py": django_tests.snippet("# acme/orm.py"),
        "tests/conftest.py": CONFTEST,
        "tests/test_orders.py": ORDERS,
        "tests/test_commits.py": COMMITS,
        "tests/test_outbox.py": OUTBOX,
        "tests/test_secrets.py": SECRETS,
    }
    installed = {
        "website/__init__.py": "",
        "website/settings.py": WEBSITE,
        "website/urls.py": URLS,
        "shop/__init__.py": "",
        "shop/models.py": MODELS,
        "shop/orders.py": django_tests.snippet("# shop/orders.py", DISPATCH),
        **{
            path.relative_to(EXAMPLE).as_posix(): path.read_text() for path in EXAMPLE.rglob("*.py")
        },
    }
    output = django_tests.run(tmp_path, app, installed)
    assert "9 passed" in output, output
