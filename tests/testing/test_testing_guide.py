"""The guide about testing one's jobs: its tests pass, and a failure reads as it shows."""

import re
import sys
from pathlib import Path

import pytest

import job_runners.testing.hostile
import job_runners.testing.job_runner  # noqa: F401 - pytester takes away what only inner tests have imported
from job_runners.places import ROOT

PAGE = (ROOT / "docs/build/testing.md").read_text()
JOBS, *TESTS, WITHOUT_PYTEST = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(SHOWN,) = re.findall(r"```text\n(.*?)\n```", PAGE, re.DOTALL)
AS_SHOWN = """
def test_it_reads_as_shown(hostile):
    first, second = "killed after side effect 1 ('Dear Ada')", "killed after side effect 2"
    killed = [first, f"{second} ('Dear Grace')"]
    report = hostile.run("remind_hastily", {"names": ["Ada", "Grace"]}, only=killed)
    assert str(report) == SHOWN
"""


@pytest.mark.more
def test_the_tests_of_the_guide_pass_in_a_folder_as_it_says(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = pytester.mkdir("app")
    monkeypatch.setenv("JOBS_PROJECT", str(app))
    (app / "acme").mkdir()
    (app / "acme" / "__init__.py").write_text(JOBS)
    tests = "\n".join([*TESTS, AS_SHOWN, f"SHOWN = {SHOWN!r}"])
    assert "assert_done_once()" in tests
    (app / "tests").mkdir()
    (app / "tests" / "test_acme.py").write_text(tests)
    result = pytester.runpytest_inprocess(
        "-p", "job_runners.testing.plugin", "-p", "no:cacheprovider", str(app)
    )
    result.assert_outcomes(passed=8)


def test_what_it_shows_without_pytest_runs(
    environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "__init__.py").write_text(JOBS)
    monkeypatch.setenv("JOBS_PROJECT", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "acme", raising=False)
    exec(compile(WITHOUT_PYTEST, "guide", "exec"), {})
