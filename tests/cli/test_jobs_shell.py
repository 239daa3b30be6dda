"""The command by its name: from anywhere, and completed at a prompt."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from job_runners.places import ROOT
from jobs_command import FakeApi

LAUNCHER = ROOT / "bin" / "job-runners"

pytestmark = pytest.mark.skipif(
    not (ROOT / ".venv").exists(), reason="the launcher starts the Python of .venv"
)


def bash(script: str) -> str:
    """Return what a bash prints in which the command's own completion is set up."""
    program = shutil.which("bash")
    if program is None:
        pytest.skip("there is no bash here")
    path = f'PATH="{LAUNCHER.parent}:$PATH"'
    done = subprocess.run(
        [
            program,
            "--norc",
            "-c",
            f'{path}\neval "$(_JOB_RUNNERS_COMPLETE=bash_source job-runners)"\n{script}',
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_a_prompt_completes_commands_options_states_and_what_the_stack_knows(
    api: FakeApi,
) -> None:
    def complete(line: str) -> list[str]:
        words = line.split(" ")
        given = f"COMP_WORDS=({' '.join(words)!s}) COMP_CWORD={len(words) - 1}"
        return bash(
            f'{given}; _job_runners_completion job-runners; echo "${{COMPREPLY[@]}}"'
        ).split()

    api.on("GET", "/job-types", 200, {"jobs": [{"name": "import_contacts"}], "tasks": []})
    assert complete("job-runners dispatch im") == ["import_contacts"]
    assert complete("job-runners task im") == []
    schedule = dict.fromkeys(("organization_id", "origin", "job_type", "words"), "x")
    listed = [{"name": each, **schedule} for each in ("nightly", "sync")]
    page = {"schedules": listed, "cursor": None}
    api.on("GET", "/schedules?organization_id=default&limit=100", 200, page)
    assert complete("job-runners schedules pause ni") == ["nightly"]
    assert complete("job-runners schedules pa") == ["pause"]
    assert complete("jobs ca") == ["cancel"]
    assert complete("job-runners list --status f") == ["failed"]
    assert complete("job-runners watch --time") == ["--timeout"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_name_that_the_shell_would_run_is_not_completed(api: FakeApi, shell: str) -> None:
    """A tenant may choose the names of its schedules."""
    evil = ["$(touch x)", "`touch x`", "a;b", "a b", "a|b", "a&b", "a>b", "*", "~", "a'b", 'a"b']
    evil += [
        "a\\b",
        "$HOME",
        "a\nb",
        "a,b",
        "{a,b}",
        "[a]",
        "--yes",
        "a!b",
        "a#b",
        "a=b",
        "\u202ea",
    ]
    plain = ["nightly", "a.b-c_d", "acme:a@b", "Zoë"]
    schedule = dict.fromkeys(("organization_id", "origin", "job_type", "words"), "x")
    listed = [{"name": each, **schedule} for each in (*evil, *plain)]
    page = {"schedules": listed, "cursor": None}
    api.on("GET", "/schedules?organization_id=default&limit=100", 200, page)
    words = "job-runners schedules pause "
    given = {"COMP_WORDS": words, "COMP_CWORD": "" if shell == "fish" else "3"}
    done = subprocess.run(
        [LAUNCHER],
        env={**os.environ, **given, "_JOB_RUNNERS_COMPLETE": f"{shell}_complete"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = done.stdout.splitlines()
    if shell == "zsh":
        assert found == [part for name in plain for part in ("plain", name, "_")]
    else:
        assert found == [f"plain,{name}" for name in plain]


def test_it_runs_from_any_folder_through_a_link_and_imports_nothing_from_there(
    tmp_path: Path,
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('imported from here')")
    link = tmp_path / "job-runners"
    link.symlink_to(LAUNCHER)
    done = subprocess.run(
        [link, "--version"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("job-runners ")
