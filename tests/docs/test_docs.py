"""What the README and the docs show, run."""

import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest
from click import Context, Group

from job_runners.cli.app import jobs
from job_runners.cli.problem import Exit
from job_runners.places import ROOT
from job_runners.testing.job_runner import inline_runner
from job_runners.testing.saved_jobs import assert_succeeded
from job_runners.work.definitions import Job
from job_runners.work.retry import Retry
from recording_job import RecordingJob
from shown_code import blocks, module

LETTERS = "letters_of_the_readme"


def snippets(page: str) -> list[str]:
    return blocks((ROOT / page).read_text())


@pytest.fixture
def count_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the README's job as an extension, under another name: who has done as the README says has
    this one already."""
    job = module("count_letters", snippets("README.md")[0], monkeypatch)
    table = ModuleType("readme_jobs")
    table.JOBS = {LETTERS: Job(job.count_letters, retry=Retry(max_attempts=3))}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "readme_jobs", table)


def test_the_job_of_the_readme_runs(count_letters: None) -> None:
    with inline_runner(environment={"JOBS_PACKAGES": "readme_jobs"}) as job_runner:
        job = job_runner.run(LETTERS, {"words": ["one", "three"]})
        assert assert_succeeded(job) == {"letters": 8}


def test_the_job_of_the_readme_goes_on_where_it_left_off(count_letters: None) -> None:
    job = RecordingJob(cursor=[3, 5])
    payload = sys.modules["count_letters"].CountLetters(words=["one", "three", "nine"])
    assert sys.modules["count_letters"].count_letters(job, payload) == {"letters": 12}
    assert job.cursors == [[3, 5, 4]]


# --- docs/reference/commands.md ------------------------------------------------------------------


def command_lines(page: Path) -> list[list[str]]:
    """Return the command lines of `job-runners` in a page's blocks and sentences, each as words."""
    text = page.read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    found = re.findall(r"(?:^|\()job-runners ([a-z].*)", "\n".join(blocks), re.MULTILINE)
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    found += re.findall(r"`job-runners ([a-z][^`|\\]*)", prose)
    return [shlex.split(re.split(r"\)| [|<>] ", line)[0], comments=True) for line in found]


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize(
    "words",
    {" ".join(words): words for page in PAGES for words in command_lines(page)}.values(),
    ids=" ".join,
)
def test_the_command_lines_of_the_docs_are_ones(words: list[str]) -> None:
    command, rest = jobs.get_command(Context(jobs), words[0]), words[1:]
    if isinstance(command, Group) and rest and not rest[0].startswith("-"):
        command, rest = command.get_command(Context(command), rest[0]), rest[1:]
    assert command is not None
    _, unexpected, _ = command.make_parser(Context(command)).parse_args(rest)
    assert not unexpected


def test_the_exit_codes_are_the_same_in_the_code_its_help_and_its_page() -> None:
    codes = [str(code.value) for code in Exit]
    page = (ROOT / "docs/reference/commands.md").read_text()
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == codes
    assert re.findall(r"^  (\d+)  ", jobs.epilog or "", re.MULTILINE) == codes
