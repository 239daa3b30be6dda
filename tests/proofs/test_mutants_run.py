"""A mutation run from end to end, on a project of one function or two."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from job_runners.places import ROOT

pytestmark = pytest.mark.skipif(
    not hasattr(sys, "monitoring"), reason="to see lines executed takes Python 3.12 or newer"
)

ENGINE = """
from functools import cache

def is_due(at, now):
    return at <= now

class Row:
    @staticmethod
    def lines(count):
        return [number for number in range(count) if number != 2]

@cache
def wait(left):
    while True:
        if left <= 0:
            return "over"
        left -= 1

def elsewhere(at):
    if at:
        return "late"
"""
TESTS = """
import subprocess, sys
from job_runners.store.sample import Row, elsewhere, is_due, wait

def test_due():
    assert is_due(1, 2)

def test_lines():
    assert list(Row.lines(4)) == [0, 1, 3]

def test_wait():
    assert wait(3) == "over"

def test_elsewhere():
    assert not elsewhere(0)
    say = "from job_runners.store.sample import elsewhere; print(elsewhere(3))"
    assert subprocess.check_output([sys.executable, "-c", say], text=True) == "late\\n"
"""
RUN = """
import json, sys
from pathlib import Path
from tools.mutants import __main__ as mutants
from tools.mutants.generated import generate
from tools.mutants.noticing import Noticing
from tools.mutants.sandbox import Sandbox

root, files = Path(sys.argv[1]), ["tests/test_none.py", "tests/test_sample.py"]
mutants._TEST_SECONDS = 1.0
mutations = generate(root, "job_runners/store/sample.py")
with Sandbox(root, 2, files) as sandbox:
    noticing = Noticing({})
    noticing.tests = mutants._baseline(sandbox, files)
    work = [mutants._work(each, noticing) for each in mutations]
    found = {
        mutations[each.index].what: each.result["by"] if each.result else "it did not end"
        for each in sandbox.do_all(work)
    }
print(json.dumps(found))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in {
        "pytest.ini": "[pytest]\npythonpath = .\ntimeout_method = thread\n",
        "tools/__init__.py": "",  # what it runs is in a package of this name
        "job_runners/store/sample.py": ENGINE,
        "tests/test_sample.py": TESTS,
        "tests/test_none.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def run(project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, str(project)], cwd=ROOT, capture_output=True, text=True
    )


def test_it_is_known_who_notices_what(project: Path) -> None:
    """What is imported by name, decorated or in a class, and in another process, is changed too."""
    ended = run(project)
    assert ended.returncode == 0, ended.stderr
    noticed = json.loads(ended.stdout)
    tests = "tests/test_sample.py"
    assert noticed == {
        "True for `at <= now`": None,
        "False for `at <= now`": f"{tests}::test_due",
        "True for `number != 2`": f"{tests}::test_lines",
        "False for `number != 2`": f"{tests}::test_lines",
        "False for `True`": f"{tests}::test_wait",
        "True for `left <= 0`": None,
        "False for `left <= 0`": "it did not end",
        "True for `at`": f"{tests}::test_elsewhere",
        "False for `at`": f"{tests}::test_elsewhere",
    }
    assert (project / "job_runners/store/sample.py").read_text() == ENGINE
    assert not list((project / ".build/mutants").iterdir())


def test_tests_that_fail_unchanged_end_the_run(project: Path) -> None:
    (project / "job_runners/store/sample.py").write_text(ENGINE.replace("at <= now", "at > now"))
    ended = run(project)
    assert ended.returncode == 1
    assert "tests/test_sample.py::test_due" in ended.stderr
