"""Connections to Postgres: a worker keeps none after a task, however the task ends."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connections

from job_runners.testing.job_runner import InlineRunner

ALIAS = "warehouse"


def program(name: str) -> str | None:
    """Return the path of a program of Postgres. Debian doesn't put them on the path."""
    newest_first = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or next(map(str, newest_first), None)


pytestmark = pytest.mark.skipif(
    program("initdb") is None and os.environ.get("DJANGO_TESTS") != "required",
    reason="needs a server of Postgres (on Debian: apt install postgresql)",
)


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, Any]]:
    """Yield the address of a server that listens on a socket in a folder, and on no port."""
    assert program("initdb"), "needs a server of Postgres"
    folder = tempfile.mkdtemp(prefix="pg")
    # The server refuses to run as root.
    as_user: dict[str, Any] = {"user": "postgres"} if os.geteuid() == 0 else {}
    if as_user:
        shutil.chown(folder, **as_user)
    initdb = [program("initdb"), "--username", "postgres", "--auth", "trust", "--no-sync"]
    done = subprocess.run(
        [*map(str, initdb), "--pgdata", f"{folder}/data"],
        **as_user,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    process = subprocess.Popen(
        [str(program("postgres")), "-D", f"{folder}/data", "-k", folder, "-h", "", "-F"],
        **as_user,
        cwd=folder,
        stderr=subprocess.DEVNULL,
    )
    address = {"host": folder, "user": "postgres", "dbname": "postgres"}
    try:
        for _ in range(300):
            with suppress(psycopg.OperationalError):
                psycopg.connect(**address).close()
                break
            time.sleep(0.1)
        yield address
    finally:
        process.send_signal(signal.SIGINT)  # don't wait for connections that a failed test left
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=[False, True], ids=["no pool", "pool"])
def warehouse(site: None, server: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[Any]:
    """Add the database to those of the site. Yield a connection that sees all others."""
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": server["host"],
        "USER": server["user"],
        "NAME": server["dbname"],
        "CONN_MAX_AGE": 0 if request.param else None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"pool": request.param},
    }
    configured = connections.configure_settings({"default": {}, ALIAS: database})
    connections.settings[ALIAS] = configured[ALIAS]
    with psycopg.connect(**server, autocommit=True) as observer:
        yield observer
    del connections[ALIAS]
    del connections.settings[ALIAS]


def pids(observer: Any) -> set[int]:
    """Return the processes of the server that serve other clients."""
    # A process ends a moment after its client has closed the connection.
    for _ in range(20):
        rows = observer.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        found = {row[0] for row in rows.fetchall()}
        if not found:
            break
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("ends", ["returns", "raises", "raises in a transaction"])
def test_no_connection_is_left_after_a_task(
    job_runner: InlineRunner, warehouse: Any, ends: str
) -> None:
    from bakery import tasks

    seen: list[int] = []
    for _ in range(2):
        result = tasks.count_in_postgres.enqueue(ends)
        job_runner.drain()
        result.refresh()
        assert pids(warehouse) == set()
        seen.append(int(result.return_value) if ends == "returns" else 0)
        # With any other error, the task may not have connected at all.
        errors = [error.exception_class for error in result.errors]
        assert errors == ([] if ends == "returns" else [tasks.Boom]), result.errors
    if ends == "returns":
        assert len(set(seen)) == 2  # each task had a connection of its own
