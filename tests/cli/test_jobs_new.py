"""job-runners new: what it writes works, and what is there already stays as it was."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from job_runners.building.app_folder import read_app_folder
from job_runners.building.build import check
from job_runners.places import ROOT
from jobs_command import jobs


def new(app: Path, *words: str) -> str:
    """Return what the command says when it succeeds."""
    app.mkdir(exist_ok=True)
    done = jobs("new", *words, JOBS_PROJECT=str(app))
    assert done.exit_code == 0, done.stderr
    return done.stdout


def refused(app: Path, *words: str) -> str:
    """Return what it says when it refuses, having changed nothing."""
    app.mkdir(exist_ok=True)
    before = contents(app)
    done = jobs("new", *words, JOBS_PROJECT=str(app))
    assert done.exit_code == 1
    assert contents(app) == before
    return done.stderr


def contents(folder: Path) -> dict[Path, str]:
    return {path: path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.more
def test_what_it_writes_is_built_and_passes_its_own_tests(tmp_path: Path) -> None:
    app = tmp_path / "app"
    new(app, "sync_list")
    new(app, "count_votes")
    assert sorted(str(path.relative_to(app)) for path in contents(app)) == [
        "app/__init__.py",
        "app/count_votes.py",
        "app/sync_list.py",
        "tests/test_count_votes.py",
        "tests/test_sync_list.py",
    ]
    table = (app / "app" / "__init__.py").read_text()
    assert table.count("retry=Retry(max_attempts=3)") == 2  # killed, it goes on
    check(read_app_folder(app))
    run = subprocess.run(
        [sys.executable, "-m", "job_runners.building.app_tests", "-k", "sync_list"],
        cwd=ROOT,
        env={**os.environ, "JOBS_PROJECT": str(app), "PYTEST_ADDOPTS": "-p no:cacheprovider"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "2 passed, 2 deselected" in run.stdout


def test_what_it_writes_keeps_to_our_own_style(tmp_path: Path) -> None:
    new(tmp_path / "app", "sync_list")
    options = ["--no-cache", "--isolated", "--line-length", "100", str(tmp_path / "app")]
    for command in (["check"], ["format", "--check"]):
        run = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *options],
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout


def test_it_says_what_to_do_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = new(Path("app"), "sync_list")
    assert said.startswith("Wrote  app/app/sync_list.py\n")
    assert "job-runners test" in said
    there = 'bin/job-runners dispatch sync_list items:=\'["ada", "grace"]\' --watch'
    assert ["In another terminal:", there] in [
        [line.strip() for line in pair] for pair in pairwise(said.splitlines())
    ]


def test_a_program_gets_json(tmp_path: Path) -> None:
    said = json.loads(new(tmp_path / "app", "sync_list", "--json"))
    assert said["table"] == str(tmp_path / "app" / "app" / "__init__.py")
    assert all(Path(path).exists() for path in said["files"])


def test_the_package_is_named_like_the_folder_or_is_the_only_one_or_is_asked_for(
    tmp_path: Path,
) -> None:
    new(tmp_path / "Acme-Texts", "first")
    assert (tmp_path / "Acme-Texts" / "acme_texts" / "first.py").exists()
    new(tmp_path / "Acme-Texts", "second")
    assert (tmp_path / "Acme-Texts" / "acme_texts" / "second.py").exists()
    new(tmp_path / "Acme-Texts", "third", "--package", "acme_more")
    assert (tmp_path / "Acme-Texts" / "acme_more" / "third.py").exists()
    said = refused(tmp_path / "Acme-Texts", "fourth")
    assert "several packages. Choose one with --package: acme_more, acme_texts" in said


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    app = tmp_path / "app"
    new(app, "sync_list")
    assert "already has a job sync_list" in refused(app, "sync_list")
    (app / "app" / "sync_list.py").unlink()
    (app / "tests" / "test_sync_list.py").unlink()
    assert "__init__.py already has a job sync_list" in refused(app, "sync_list")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["SyncList"], "such as sync_list"),
        (["sync-list"], "such as sync_list"),
        (["class"], "can't be the name of a job"),
        (["post_webhook"], "Job Runners has a built-in job post_webhook"),
        (
            ["x", "--package", "handlers"],
            "the name handlers is taken: Job Runners has a module handlers",
        ),
        (["x", "--package", "../up"], "Python can't import the name '../up'"),
    ],
)
def test_a_name_that_can_not_be_used_is_refused(tmp_path: Path, words: list[str], why: str) -> None:
    assert why in refused(tmp_path / "app", *words)


def test_a_table_that_only_its_author_can_change_is_left_alone(tmp_path: Path) -> None:
    app = tmp_path / "app"
    new(app, "sync_list")
    table = app / "app" / "__init__.py"
    written = table.read_text() + 'JOBS |= {"other": Job("app.sync_list:sync_list")}\n'
    table.write_text(written)
    said = new(app, "count_votes")
    function = "app.count_votes:count_votes"
    assert f'    "count_votes": Job("{function}", retry=Retry(max_attempts=3)),\n' in said
    assert f"Add this line to JOBS in {table}" in said
    assert table.read_text() == written
    assert (app / "app" / "count_votes.py").exists()


def test_an_empty_project_is_refused() -> None:
    done = jobs("new", "sync_list", JOBS_PROJECT="")
    assert done.exit_code == 1
    assert "JOBS_PROJECT is empty" in done.stderr
