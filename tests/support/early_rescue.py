"""A timer that rescues jobs whose lease isn't over: a bug that tests must notice."""

from typing import Any

import pytest

from job_runners.engine.running import retrying
from job_runners.engine.tick import due_row
from job_runners.engine.tick.due_decision import (
    Action,
    Decision,
    DecisionInput,
    Disposition,
    decide,
)
from job_runners.errors import Interrupted
from job_runners.store.job_request import JobRequest, Status


def rescue_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rescue every running row that the timer handles, without a condition on its lease."""

    def decide_early(row: JobRequest, inputs: DecisionInput) -> Decision:
        return Action.RESCUE if row.status is Status.RUNNING else decide(row, inputs)

    def rescue(row: JobRequest, send: Any) -> Disposition:
        retrying.record_failed_attempt(row, Interrupted("its lease is over soon"), send)
        return Disposition.RESCUED

    monkeypatch.setattr(due_row, "decide", decide_early)
    monkeypatch.setattr(due_row, "_rescue", rescue)
