"""What the function of a job waits for, as the field `current_wait` of its row stores it."""

from typing import Any

from job_runners.store.job_request import JobRequest, Status
from job_runners.values import Value

TIME = "time"
SIGNAL = "signal"
GROUP = "group"


class Wait(Value):
    """What a job's function waits for: a time, a signal whose name is in `names`, or a group.

    `name` is the name that the function gave this wait. Times are milliseconds since 1970.
    """

    kind: str
    name: str
    names: list[str]
    since: int
    until: int

    def stored(self) -> dict[str, Any]:
        """Return the wait as the row stores it."""
        return {
            "kind": self.kind,
            "name": self.name,
            "names": self.names,
            "since": self.since,
            "until": self.until,
        }


def of(row: JobRequest) -> Wait | None:
    """Return the wait of a job's function, or None if it isn't waiting.

    A claim leaves a sleep in the row. So this counts only while the rest of the row shows that the
    job still waits.
    """
    if not row.current_wait:
        return None
    stored = row.current_wait
    wait = Wait(stored["kind"], stored["name"], stored["names"], stored["since"], stored["until"])
    if wait.kind == SIGNAL:
        is_waiting = row.awaits_signal
    elif wait.kind == GROUP:
        is_waiting = row.awaits_group
    else:
        is_waiting = row.status is Status.SCHEDULED and row.run_at == wait.until
    return wait if is_waiting else None
