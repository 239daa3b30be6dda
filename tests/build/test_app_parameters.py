"""What samconfig.toml says of your own work holds in its tests and in the check of a build."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app_folders import write_app
from job_runners import settings
from job_runners.building import samconfig
from job_runners.testing.aws import forget
from job_runners.testing.job_runner import inline_runner
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.saved_jobs import assert_succeeded


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield an organisation's folder; samconfig.toml has settings of its own."""
    (tmp_path / "samconfig.toml").write_text(
        '[default.deploy.parameters]\nparameter_overrides = "RetentionDays=3 WorkerTimeout=60"\n'
    )
    monkeypatch.setattr(samconfig, "ROOT", tmp_path)
    monkeypatch.setenv("JOBS_PROJECT", str(tmp_path / "app"))
    monkeypatch.syspath_prepend(tmp_path / "app")
    forget()
    yield tmp_path / "app"
    for name in [each for each in sys.modules if each.partition(".")[0] == "acme"]:
        del sys.modules[name]


def test_tests_have_the_settings_of_the_stack_unless_they_set_others(app: Path) -> None:
    write_app(app)
    with inline_runner(MovableClock()) as runner:
        assert settings.settings().retention_days == 3
        assert assert_succeeded(runner.run("read_list", {"text": "[a]"})) == ["a"]
    with inline_runner(MovableClock(), {"RETENTION_DAYS": "7"}):
        assert settings.settings().retention_days == 7
