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
LONGEST = 120  # lines


def test_the_readme_is_short() -> None:
    assert len(PAGE.splitlines()) <= LONGEST


def test_the_readme_names_both_set_up_commands() -> None:
    named = set(re.findall(r"`(make \w+)`", PAGE))
    assert "make test" in named
    assert named & {"make run", "make demo"}


def test_the_readme_links_a_dozen_features() -> None:
    features = PAGE.partition("## Features\n")[2].partition("\n## ")[0]
    items = re.findall(r"^- .*$", features, re.MULTILINE)
    assert len(items) == 12
    assert all("](docs/" in each for each in items)


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
