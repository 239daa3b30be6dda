"""job-runners deploy: which modules it starts, and in which order."""

import pytest

from job_runners.cli import account, project_tools
from jobs_command import jobs


def test_an_environment_is_checked_before_the_build_and_then_deployed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[tuple[str, ...]] = []
    monkeypatch.setattr(account, "region", lambda: "eu-west-1")
    for name in ("run", "become"):
        monkeypatch.setattr(project_tools, name, lambda *words: started.append(words))
    done = jobs("deploy", "--config-env", "production")
    assert done.exit_code == 0, done.output
    deploy = ("--region", "eu-west-1", "--config-env", "production")
    assert started == [
        ("job_runners.building.deploy", *deploy, "--check"),
        ("job_runners.building.sam", "build"),
        ("job_runners.building.deploy", *deploy),
    ]
