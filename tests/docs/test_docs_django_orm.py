"""The guide about Django's ORM: its job bills orders in a database, and closes its connection."""

import os
import re
import subprocess
import sys
from pathlib import Path

from job_runners.places import ROOT

SETTINGS, ORM, JOB, TABLE, FIXTURE = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs/guides/django_orm.md").read_text(), re.DOTALL
)
MODELS = """
from django.db import models

class Order(models.Model):
    billed = models.BooleanField(default=False)
"""
TEST = """
import pytest
from contextlib import nullcontext
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
IN_A_TRANSACTION = """
def test_the_connection_stays_open_if_a_test_needs_it(job_runner, orders):
    assert assert_succeeded(job_runner.run("bill_orders", {})) == 3
    assert orders.connection is not None
"""


def test_the_job_of_the_guide_uses_a_database_and_closes_its_connection(tmp_path: Path) -> None:
    app, installed = tmp_path / "app", tmp_path / "installed"
    files = {
        "acme/__init__.py": TABLE,
        "acme/django_settings.py": SETTINGS.replace("postgresql", "sqlite3"),
        "acme/orm.py": ORM,
        "acme/orders.py": JOB,
        "../installed/shop/__init__.py": "",
        "../installed/shop/models.py": MODELS,
        "tests/test_orders.py": TEST,
        "tests/test_transactions.py": TEST.partition("def test_")[0] + FIXTURE + IN_A_TRANSACTION,
    }
    for name, text in files.items():
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text(text)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--quiet", "-p", "job_runners.testing.plugin"),
            *("-p", "no:cacheprovider", "--rootdir", app, app / "tests"),
        ],
        cwd=app,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{installed}", "APP": str(app)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
