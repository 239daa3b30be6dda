"""A project that belongs to another user: no command runs its code unless it is named."""

import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from job_runners import places
from job_runners.building import sam_folder
from job_runners.cli import account, project_tools
from job_runners.cli.problem import Exit
from jobs_command import jobs

COMMANDS = [("test",), ("run",), ("build",), ("deploy",), ("eject",)]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Have a project of our own, and return the modules that commands start."""
    (tmp_path / "samconfig.toml").touch()
    found: list[str] = []

    def start(module: str, *_: Any, **__: Any) -> None:
        found.append(module)
        project_tools.exit_command(0)

    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.setattr(places, "IS_CHECKOUT", False)
    monkeypatch.delenv("JOBS_PROJECT")
    monkeypatch.setattr(project_tools, "ROOT", tmp_path)
    monkeypatch.setattr(account, "check_account", lambda _: "eu-west-1")
    monkeypatch.setattr(sam_folder, "eject", lambda: start("eject"))
    for name in ("run_module", "run_or_exit", "replace_process"):
        monkeypatch.setattr(project_tools, name, start)
    return found


def become(monkeypatch: pytest.MonkeyPatch, user: int) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)


@pytest.mark.parametrize("command", COMMANDS, ids=map(shlex.join, COMMANDS))
def test_a_project_of_another_user_is_not_run(
    started: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...]
) -> None:
    owner = os.geteuid()
    become(monkeypatch, owner + 1)
    done = jobs(*command)
    assert done.exit_code == Exit.REFUSED
    assert f"{tmp_path} belongs to another user (uid {owner})" in " ".join(done.stderr.split())
    assert started == []
    become(monkeypatch, owner)
    jobs(*command)
    assert started


def test_a_project_that_is_named_is_run(
    started: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    become(monkeypatch, os.geteuid() + 1)
    assert f"JOBS_PROJECT={tmp_path}" in jobs("test").stderr.replace("\n", "").replace("  ", "")
    assert jobs("test", JOBS_PROJECT=str(tmp_path)).exit_code == 0
    assert started


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to another user")
def test_a_file_of_another_user_in_our_own_folder_is_not_enough(
    started: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Anyone may write to /tmp, which is root's. Root may run the project of who called sudo."""
    os.chown(tmp_path / "samconfig.toml", 4321, -1)
    assert "belongs to another user (uid 4321)" in " ".join(jobs("test").stderr.split())
    assert started == []
    monkeypatch.setenv("SUDO_UID", "4321")
    jobs("test")
    assert started


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to another user")
def test_another_users_link_to_a_file_of_our_own_is_not_enough(
    started: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "samconfig.toml"
    file.rename(tmp_path / "ours")
    file.symlink_to("ours")
    jobs("test")
    assert len(started) == 1
    os.lchown(file, 4321, -1)
    assert "belongs to another user (uid 4321)" in " ".join(jobs("test").stderr.split())
    assert len(started) == 1
