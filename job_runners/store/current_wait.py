"""Read and write the field `current_wait` of a job's row: what the job's function waits for."""

from typing import Any

from job_runners.store.job_request import JobRequest, Status
from job_runners.values import Value

TIME = "time"
SIGNAL = "signal"
GROUP = "group"


class Wait(Value):
    """What a job's function waits for. Times are milliseconds since 1970."""

    kind: str  # TIME, SIGNAL or GROUP
    name: str  # the name that the function gave this wait
    since: int
    until: int
    names: tuple[str, ...] = ()  # the names of the signals, any of which ends the wait

    def stored_form(self) -> dict[str, Any]:
        """Return the wait in the form in which the row stores it."""
        return {
            "kind": self.kind,
            "name": self.name,
            "names": list(self.names),
            "since": self.since,
            "until": self.until,
        }


def of(row: JobRequest) -> Wait | None:
    """Return the wait of a job's function, or None if it isn't waiting.

    After a wait for a time, the row keeps its `current_wait`. So this also checks the fields that
    show whether the job still waits.
    """
    if not row.current_wait:
        return None
    stored = row.current_wait
    names = tuple(stored["names"])
    wait = Wait(stored["kind"], stored["name"], stored["since"], stored["until"], names)
    if wait.kind == SIGNAL:
        is_waiting = row.awaits_signal
    elif wait.kind == GROUP:
        is_waiting = row.awaits_group
    else:
        is_waiting = row.status is Status.SCHEDULED and row.run_at == wait.until
    return wait if is_waiting else None
