"""The `jobs` command by its name: at a prompt, beside the shell's own, and from anywhere."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from job_runners.building.build import ROOT
from jobs_command import FakeApi, jobs

LAUNCHER = ROOT / "bin" / "jobs"

pytestmark = pytest.mark.skipif(
    not (ROOT / ".venv").exists(), reason="the launcher starts the Python of .venv"
)


def bash(script: str, cwd: Path = ROOT) -> str:
    """Return what a bash prints that has what `jobs shell bash` prints."""
    return run_bash(f'eval "$({LAUNCHER} shell bash)"\n{script}', cwd)


def run_bash(script: str, cwd: Path = ROOT) -> str:
    """Return what a bash prints."""
    program = shutil.which("bash")
    if program is None:
        pytest.skip("there is no bash here")
    done = subprocess.run(
        [program, "--norc", "-c", script],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_the_name_means_this_command_and_the_shells_own_keeps_working(tmp_path: Path) -> None:
    said = bash("jobs --version\nsleep 5 &\njobs\njobs -p\njobs %1\nkill $!", cwd=tmp_path)
    version, running, process, again = said.splitlines()
    assert version.startswith("jobs ")
    assert "Running" in running
    assert process.isdigit()
    assert again == running


def test_a_prompt_completes_commands_options_states_and_what_the_stack_knows(
    api: FakeApi,
) -> None:
    def complete(line: str) -> list[str]:
        words = line.split(" ")
        given = f"COMP_WORDS=({' '.join(words)!s}) COMP_CWORD={len(words) - 1}"
        return bash(f'{given}; _jobs_completion; echo "${{COMPREPLY[@]}}"').split()

    api.on("GET", "/job-types", 200, {"jobs": [{"name": "import_contacts"}], "tasks": []})
    assert complete("jobs dispatch im") == ["import_contacts"]
    assert complete("jobs task im") == []
    schedule = dict.fromkeys(("organization_id", "origin", "job_type", "words"), "x")
    listed = [{"name": each, **schedule} for each in ("nightly", "sync")]
    page = {"schedules": listed, "cursor": None}
    api.on("GET", "/schedules?organization_id=default&limit=100", 200, page)
    assert complete("jobs schedules pause ni") == ["nightly"]
    assert complete("jobs schedules pa") == ["pause"]
    assert complete("jobs ca") == ["cancel"]
    assert complete("jobs list --status f") == ["failed"]
    assert complete("jobs watch --time") == ["--timeout"]


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
    words = "jobs schedules pause "
    given = {"COMP_WORDS": words, "COMP_CWORD": "" if shell == "fish" else "3"}
    done = subprocess.run(
        [LAUNCHER],
        env={**os.environ, **given, "_JOBS_COMPLETE": f"{shell}_complete"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = done.stdout.splitlines()
    if shell == "zsh":
        assert found == [part for name in plain for part in ("plain", name, "_")]
    else:
        assert found == [f"plain,{name}" for name in plain]


@pytest.mark.parametrize("folder", ["it's", "a'; echo ran; '", 'two "words" $(echo ran)', "back\\"])
def test_the_folder_of_the_checkout_may_have_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    launcher = tmp_path / folder / "jobs"
    launcher.parent.mkdir()
    launcher.write_text('#!/bin/sh\necho called "$@" as $JOBS_COMMAND\n')
    launcher.chmod(0o755)
    monkeypatch.setattr("job_runners.cli.commands.shell._launcher", lambda: str(launcher))
    for shell in ("bash", "zsh", "fish"):
        assert str(launcher) in unescaped(jobs("shell", shell).stdout, shell)
    script = jobs("shell", "bash").stdout
    completion = "COMP_WORDS=(jobs x) COMP_CWORD=1; _jobs_completion jobs"
    for call in ("jobs list now", completion):
        said = run_bash(f"{script}\n{call}")
        assert said == ("called list now as jobs\n" if call != completion else "")


def unescaped(script: str, shell: str) -> str:
    """Return a script without the ways of quoting a quote."""
    if shell == "fish":
        return script.replace("\\'", "'").replace("\\\\", "\\")
    return script.replace("'\"'\"'", "'")


def test_it_runs_from_any_folder_through_a_link_and_imports_nothing_from_there(
    tmp_path: Path,
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('imported from here')")
    link = tmp_path / "jobs"
    link.symlink_to(LAUNCHER)
    done = subprocess.run(
        [link, "--version"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("jobs ")
