"""Runs tests of a Django project in a process of their own, because a process has one Django."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from job_runners.places import ROOT

# What pytest-django gives a test, on a database whose tables are made once.
PYTEST_DJANGO = """
import pytest
from django.apps import apps
from django.db import connection, transaction
from django.test import Client, TestCase


@pytest.fixture(scope="session")
def tables():
    with connection.schema_editor() as editor:
        for model in apps.get_models():
            editor.create_model(model)
    yield
    connection.close()


@pytest.fixture
def db(tables):
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def transactional_db(tables):
    yield
    for model in apps.get_models():
        model.objects.all().delete()


@pytest.fixture
def client():
    return Client(headers={"host": "localhost"})


@pytest.fixture
def django_capture_on_commit_callbacks():
    return TestCase.captureOnCommitCallbacks
"""


def run(folder: Path, app: Mapping[str, str], installed: Mapping[str, str], **env: str) -> str:
    """Write an app's folder and installed modules, run the app's tests, and return the output."""
    for root, files in (("app", app), ("installed", installed)):
        for name, text in files.items():
            path = folder / root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--quiet", "-p", "job_runners.testing.plugin"),
            *("-p", "no:cacheprovider", "--rootdir", folder / "app", folder / "app/tests"),
        ],
        cwd=folder / "app",
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, folder / "installed", folder / "app"))),
            "PROJECT": str(folder / "app"),
            **env,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr
