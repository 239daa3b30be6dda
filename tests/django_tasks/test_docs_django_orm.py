"""The page about Django: its job bills orders in a database, and closes its connection."""

from pathlib import Path

import django_tests

SETTINGS, ORM, JOB, TABLE = (
    django_tests.snippet(f"# acme/{name}.py")
    for name in ("django_settings", "orm", "orders", "__init__")
)
# As the page says: with pytest-django, jobs use the connection of the test.
CONFTEST = """
from contextlib import nullcontext

import acme.orm
import pytest
from django.conf import settings

server = {"HOST": "127.0.0.1", "USER": "postgres", "PASSWORD": "postgres", "NAME": "shop"}
settings.DATABASES["default"].update(server)


@pytest.fixture(autouse=True)
def one_connection(db, monkeypatch):
    monkeypatch.setattr("acme.orm.database", lambda work: nullcontext())
"""
MODELS = """
from django.db import models

class Order(models.Model):
    billed = models.BooleanField(default=False)
"""
TEST = """
import pytest
from job_runners.testing.saved_jobs import assert_succeeded

@pytest.fixture
def job_settings(tmp_path):
    values = {"HOST": "-", "NAME": str(tmp_path / "orders.db"), "USER": "-", "PASSWORD": "-"}
    return {f"APP_SETTING_DATABASE_{name}": value for name, value in values.items()}

@pytest.fixture
def orders(job_settings):
    import acme.orm
    from django.db import connections
    from shop.models import Order
    connection = connections["default"]
    connection.settings_dict["NAME"] = job_settings["APP_SETTING_DATABASE_NAME"]
    with connection.schema_editor() as editor:
        editor.create_model(Order)
    Order.objects.bulk_create([Order(), Order(billed=True), Order()])
    yield connection
    connections.close_all()

def test_orders_are_billed_and_the_connection_is_closed(job_runner, orders):
    assert orders.connection is not None
    assert assert_succeeded(job_runner.run("bill_orders", {})) == 3
    assert orders.connection is None
"""
ROLLED_BACK = """
import pytest
from job_runners.testing.saved_jobs import assert_succeeded

@pytest.mark.parametrize("_", [1, 2])
def test_the_job_uses_the_transaction_of_the_test(job_runner, _):
    from django.db import connection
    from shop.models import Order
    name = connection.settings_dict["NAME"]
    assert not Order.objects.exists()
    Order.objects.bulk_create([Order(), Order(billed=True), Order()])
    assert assert_succeeded(job_runner.run("bill_orders", {})) == 3
    assert connection.connection is not None
    assert connection.settings_dict["NAME"] == name
"""


def app(*tests: tuple[str, str]) -> dict[str, str]:
    return {
        "acme/__init__.py": TABLE,
        "acme/django_settings.py": SETTINGS.replace("postgresql", "sqlite3"),
        "acme/orm.py": ORM,
        "acme/orders.py": JOB,
        **dict(tests),
    }


INSTALLED = {"shop/__init__.py": "", "shop/models.py": MODELS}


def test_the_job_of_the_guide_uses_a_database_and_closes_its_connection(tmp_path: Path) -> None:
    output = django_tests.run(tmp_path, app(("tests/test_orders.py", TEST)), INSTALLED)
    assert "1 passed" in output, output


def test_in_a_test_the_job_uses_the_connection_of_pytest_django(tmp_path: Path) -> None:
    files = app(("tests/conftest.py", CONFTEST), ("tests/test_orders.py", ROLLED_BACK))
    output = django_tests.run(tmp_path, files, INSTALLED)
    assert "2 passed" in output, output
