"""A timer that rescues jobs whose lease isn't over: a bug that tests must notice."""

from typing import Any

import pytest

from job_runners.engine.running import retrying
from job_runners.engine.tick import due_row
from job_runners.engine.tick.due_row import Disposition
from job_runners.errors import Interrupted
from job_runners.store.job_request import JobRequest


def rescue_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rescue every running row that the timer handles, without a condition on its lease."""

    def rescue(row: JobRequest, send: Any) -> Disposition:
        retrying.record_failed_attempt(row, Interrupted("its lease is over soon"), send)
        return Disposition.RESCUED

    monkeypatch.setattr(due_row, "_check_lease", rescue)
