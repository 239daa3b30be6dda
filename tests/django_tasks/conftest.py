"""A site and its worker in two processes: this process is the site, and its child is the stack.

These tests run in .venv-django. Elsewhere, pytest collects nothing here.
"""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest

from job_runners import caches

HERE = Path(__file__).parent
collect_ignore_glob = [] if find_spec("django") else ["*"]

if not collect_ignore_glob:
    sys.path[:0] = [str(HERE / "site"), str(HERE / "app")]

Stack = Callable[[str], str]
"""Tells the stack to work: `drain` or `due`. Returns what it answers."""


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Set the site up, with the tables of its database."""
    os.environ["BAKERY_DATABASE"] = str(tmp_path_factory.mktemp("bakery") / "bakery.db")
    os.environ["DJANGO_SETTINGS_MODULE"] = "website.settings"
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)


@pytest.fixture(autouse=True)
def empty_tables(site: None) -> None:
    """Begin with one order, no marks, and no client of an earlier test."""
    caches.forget_all()
    from bakery.models import Mark, Order

    Mark.objects.all().delete()
    Order.objects.all().delete()
    Order.objects.create(pk=1)


@pytest.fixture(scope="session")
def stack_address(site: None) -> Iterator[str]:
    """Yield the address of the API of a stack in another process."""
    process = subprocess.Popen(
        [sys.executable, HERE / "stack_process.py"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        port = process.stdout.readline().strip()
        assert port, "the stack didn't start: its errors are above"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def stack(stack_address: str, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """Let the site call the stack. Return what tells the stack to work."""
    monkeypatch.setenv("JOB_RUNNERS_URL", stack_address)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "site")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "site")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.delenv("JOB_RUNNER", raising=False)

    def tell(what: str) -> str:
        with urllib.request.urlopen(f"{stack_address}/__/{what}") as answer:
            said: str = answer.read().decode()
        return said

    tell("empty")
    return tell


@pytest.fixture
def job_settings() -> Mapping[str, str]:
    """Let the fixtures of job_runners.testing use the bakery's package of jobs."""
    return {"JOBS_PACKAGES": "acme"}
