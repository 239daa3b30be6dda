"""What samconfig.toml says of your own work holds in its tests and in the check of a build."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app_folders import LISTS, write_app
from job_runners import settings
from job_runners.building import work_parameters
from job_runners.errors import UnknownJobType
from job_runners.testing.aws import forget
from job_runners.testing.job_runner import inline_runner
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.saved_jobs import assert_succeeded

OWN_IMPORT = """\
from job_runners.work import Job

JOBS = {"import_contacts": Job("acme.lists:read_list")}
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield an organisation's folder; samconfig.toml leaves the texting campaign out."""
    (tmp_path / "samconfig.toml").write_text(
        "[default.deploy.parameters]\n"
        'parameter_overrides = "TextingCampaign=false RetentionDays=3 WorkerTimeout=60"\n'
    )
    monkeypatch.setattr(work_parameters, "ROOT", tmp_path)
    monkeypatch.setenv("PROJECT", str(tmp_path / "app"))
    monkeypatch.syspath_prepend(tmp_path / "app")
    forget()
    yield tmp_path / "app"
    for name in [each for each in sys.modules if each.partition(".")[0] == "acme"]:
        del sys.modules[name]


def test_tests_know_no_job_that_the_stack_has_not(app: Path) -> None:
    write_app(app)
    with inline_runner(MovableClock()) as runner:
        assert settings.settings().retention_days == 3
        with pytest.raises(UnknownJobType):
            runner.dispatch("import_contacts")
    with inline_runner(MovableClock(), {"TEXTING_CAMPAIGN": "true"}) as runner:
        runner.dispatch("import_contacts", {"key": "uploads/default/a.csv"}, campaign_id="a")


def test_a_name_of_the_campaign_is_free_where_there_is_none(app: Path) -> None:
    write_app(app, {"acme/__init__.py": OWN_IMPORT, "acme/lists.py": LISTS})
    with inline_runner(MovableClock()) as runner:
        job = runner.run("import_contacts", {"text": "[a]"})
    assert assert_succeeded(job) == ["a"]
