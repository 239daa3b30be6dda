"""Django's own tests of tasks, with the backend of Job Runners in place of Django's."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import django
import pytest

from job_runners.places import ROOT

HERE = Path(__file__).parent
VERSION = ".".join(map(str, django.VERSION[:2]))
# `make django` puts Django's tests there.
TESTS = ROOT / ".venv-django/versions" / VERSION / "tests"
FEWEST = 70  # tests in the oldest version


def listed() -> set[str]:
    """Return the names of the tests that can't pass."""
    read = tomllib.loads((HERE / "djangos_own_failures.toml").read_text())
    return {f"{case}.{test}" for case, tests in read.items() for test in tests}


@pytest.mark.more
def test_djangos_own_tests_pass_but_for_those_that_are_listed() -> None:
    assert (TESTS / "tasks/test_tasks.py").is_file(), "run make django"
    done = subprocess.run(
        [sys.executable, HERE / "djangos_own_process.py"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(HERE), *sys.path])},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["django"] == list(django.VERSION[:2])
    ends: dict[str, str] = report["ends"]
    assert len(ends) >= FEWEST
    failed = {name for name, end in ends.items() if end != "passed"}
    assert failed - listed() == set(), done.stderr
    assert listed() - failed == set(), "these pass, or are gone: remove them from the list"
