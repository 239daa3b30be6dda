"""For a product in Django: dispatches after a commit, and its settings in jobs.

All of it runs in one process, because a process has one Django.
"""

from pathlib import Path

import django_tests
from job_runners.places import ROOT

DISPATCH = (ROOT / "docs/integrate/databases.md").read_text()


WEBSITE = """
import os

SECRET_KEY = os.environ["SECRET_KEY"]
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
        "tests/test_secrets.py": SECRETS,
    }
    installed = {
        "website/__init__.py": "",
        "website/settings.py": WEBSITE,
        "website/urls.py": URLS,
        "shop/__init__.py": "",
        "shop/models.py": MODELS,
        "shop/orders.py": django_tests.snippet("# shop/orders.py", DISPATCH),
    }
    output = django_tests.run(tmp_path, app, installed)
    assert "5 passed" in output, output
