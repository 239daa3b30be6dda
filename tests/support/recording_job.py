"""A RunningJob whose checkpoints are kept in a list, and which can be stopped at any of them."""

import json
from typing import Any

from job_runners import clock
from job_runners.engine.running.children import Children
from job_runners.engine.wire.sending import CANNOT_SEND, Send
from job_runners.store.job_request import JobRequest
from job_runners.work.interrupts import YieldInterrupt
from job_runners.work.running_job import RunningJob
from job_runners.work.time_budget import TimeBudget


class Stopped(BaseException):
    """The invocation ended here."""


class RecordingJob(RunningJob):
    """A job of the organisation `acme`, with its checkpoints as they would cross the store."""

    def __init__(
        self,
        *,
        job_id: str = "job",
        organization_id: str = "acme",
        cursor: Any = None,
        stop_at: int | None = None,
        attempt: int = 1,
        seconds: float = 900,
        send: Send = CANNOT_SEND,
        parent_id: str | None = None,
    ) -> None:
        row = JobRequest(
            id=job_id,
            created_key=job_id,
            organization_id=organization_id,
            cursor=cursor,
            attempt=attempt,
            max_attempts=5,
            parent_id=parent_id,
        )
        deadline = clock.now() + int(seconds * clock.SECOND)
        super().__init__(row, TimeBudget(deadline=deadline), lambda: Children(send))
        self.stop_at = stop_at
        self.cursors: list[Any] = []
        self.messages: list[str | None] = []
        self.shares: list[float | None] = []

    def checkpoint(
        self,
        cursor: Any = None,
        *,
        progress: float | None = None,
        message: str | None = None,
        durable: bool = False,  # here each one is
    ) -> None:
        if cursor is not None:
            self.cursor = cursor
        self.cursors.append(json.loads(json.dumps(self.cursor)))
        self.messages.append(message)
        self.shares.append(progress)
        if len(self.cursors) == self.stop_at:
            raise Stopped

    def next_turn(
        self, cursor: Any, *, progress: float | None = None, message: str | None = None
    ) -> None:
        self.checkpoint(cursor, progress=progress, message=message)
        raise YieldInterrupt
