"""The README fits on a few screens, and its job runs as its client shows."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

import sample_work
from api_server import ApiServer
from job_runners.client import stack_outputs
from job_runners.places import ROOT
from shown_code import blocks, module

PAGE = (ROOT / "README.md").read_text()
JOB, ENTRY, CLIENT = blocks(PAGE)
LONGEST = 100  # lines


def test_the_readme_is_short() -> None:
    assert len(PAGE.splitlines()) <= LONGEST


def test_the_first_screen_has_a_job_and_the_commands_that_run_it_and_the_tests() -> None:
    first_screen = PAGE.partition("![")[0]
    assert len(first_screen.splitlines()) <= 50
    assert blocks(first_screen) == [JOB, ENTRY, CLIENT]
    commands = re.findall(r"^make (\w+)", blocks(first_screen, "sh")[0], re.MULTILINE)
    assert commands == ["demo", "test"]
    assert "make test\n" in (ROOT / ".ci/run").read_text()


def test_the_landing_page_shows_the_same_job() -> None:
    assert blocks((ROOT / "docs/index.md").read_text()) == [JOB, ENTRY, CLIENT]


def test_the_client_of_the_readme_gets_the_result_of_its_job(
    api_server: ApiServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = stack_outputs.Outputs(api_server.url, "bucket")
    monkeypatch.setattr(stack_outputs, "find_outputs", lambda *_: found)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    module("acme_words.count_letters", JOB, monkeypatch)
    entries = module("acme_words", ENTRY, monkeypatch).JOBS
    (name,) = entries
    monkeypatch.setitem(sample_work.JOBS, name, entries[name])
    capsys.readouterr()
    with ThreadPoolExecutor(1) as pool:  # Playwright's loop may run in the tests' thread
        pool.submit(exec, compile(CLIENT, "README.md", "exec"), {}).result()
    (result,) = re.findall(r"print\(.*\)  # (.*)$", CLIENT, re.MULTILINE)
    assert capsys.readouterr().out == f"{result}\n"
