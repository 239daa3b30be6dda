"""`make test-changed`: which tests a changed file runs."""

import re

import pytest

from job_runners.places import ROOT
from tools.changed_tests import FOLDERS, SMOKE, paths_to_test


@pytest.mark.parametrize(
    ("path", "runs"),
    [
        ("job_runners/engine/lines/admission.py", {"tests/engine/lines"}),
        ("job_runners/engine/groups/markers.py", {"tests/engine/groups"}),
        ("job_runners/engine/wire/messages.py", {"tests/engine", "tests/runners"}),
        ("job_runners/store/transitions/claiming.py", {"tests/store", "tests/engine/unique"}),
        ("runners/__init__.py", {"tests/runners"}),
        ("job_runners/cli/entry.py", {"tests/cli"}),
        ("tests/unit/test_messages.py", {"tests/unit/test_messages.py"}),
        (
            "tests/support/berlin_year.py",
            {
                "tests/engine/schedules/test_year_of_schedules.py",
                "tests/engine/unique/test_year_of_unique_work.py",
            },
        ),
        ("tests/unit/test_deleted_since.py", set()),
        ("docs/build/queues.md", {"tests/docs"}),
        ("LICENSE", set()),
    ],
)
def test_a_changed_file_runs_the_tests_that_it_can_affect(path: str, runs: set[str]) -> None:
    assert paths_to_test(path) == runs


def test_every_file_of_the_package_runs_some_tests() -> None:
    files = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("job_runners/**/*.py")]
    assert len(files) > 100
    assert [path for path in files if not paths_to_test(path)] == []
    chosen = {each for path in files for each in paths_to_test(path)}
    assert [each for each in chosen if not (ROOT / each).exists()] == []


def test_the_tests_that_are_named_are_there() -> None:
    named = {each for folders in FOLDERS.values() for each in folders} | set(SMOKE)
    assert [each for each in named if not (ROOT / re.sub(r"/\\1", "", each)).exists()] == []
