"""job-runners deploy: which modules it starts, and in which order."""

import os
from pathlib import Path

import pytest

from fake_account import Account
from job_runners.cli import account as account_module
from job_runners.cli import project_tools
from jobs_command import jobs


def test_an_environment_is_checked_before_the_build_and_then_deployed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[tuple[str, ...]] = []
    monkeypatch.setattr(account_module, "check_account", lambda _: "eu-west-1")
    for name in ("run_or_exit", "replace_process"):
        monkeypatch.setattr(project_tools, name, lambda *words: started.append(words))
    done = jobs("deploy", "--config-env", "production")
    assert done.exit_code == 0, done.output
    deploy = ("--region", "eu-west-1", "--config-env", "production")
    assert started == [
        ("job_runners.building.deploy", *deploy, "--check"),
        ("job_runners.building.sam", "build"),
        ("job_runners.building.deploy", *deploy),
    ]


def test_a_profile_is_that_of_every_process_of_the_deploy(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys in the environment would win in a process that has only AWS_PROFILE."""
    config = tmp_path / "config"
    config.write_text("[profile staging]\nregion = us-east-1\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "of another account")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "other")
    seen: list[dict[str, str]] = []
    for name in ("run_or_exit", "replace_process"):
        monkeypatch.setattr(project_tools, name, lambda *_: seen.append(dict(os.environ)))
    done = jobs("deploy", "--profile", "staging", "--region", "us-east-1")
    assert done.exit_code == 0, done.output
    assert "Deploying to account 123456789012, us-east-1, as " in done.stderr
    assert {each["AWS_PROFILE"] for each in seen} == {"staging"}
    assert not any("AWS_ACCESS_KEY_ID" in each for each in seen)
