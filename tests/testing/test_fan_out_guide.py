"""The jobs of the guide about groups, run as a test of one's own runs jobs."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from job_runners.building.build import ROOT
from job_runners.testing.job_runner import InlineRunner, inline_runner
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.saved_jobs import assert_succeeded

_GUIDE = ROOT / "docs" / "guides" / "fan_out_and_wait.md"


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InlineRunner]:
    blocks = re.findall(r"```python\n(.*?)```", _GUIDE.read_text(), re.DOTALL)
    (tmp_path / "words_of_the_guide.py").write_text("\n".join(blocks))
    monkeypatch.syspath_prepend(str(tmp_path))
    with inline_runner(MovableClock(), {"PROJECT_PACKAGES": "words_of_the_guide"}) as inline:
        yield inline
    del sys.modules["words_of_the_guide"]


def test_more_members_than_messages_may_run_otherwise(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    from job_runners.testing import held_runner

    monkeypatch.setattr(held_runner, "_PATIENCE", 10)
    job = runner.run("count_all", {"texts": ["one"] * 12})
    assert assert_succeeded(job) == {"words": 12}
