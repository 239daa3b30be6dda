"""What waits in a queue and what for, as the HTTP API, the command and the page show it."""

from dataclasses import dataclass

from store.job_request import JobRequest
from store.pauses import Kind

LINE = "line"


@dataclass(frozen=True)
class WaitsFor:
    """What a waiting job waits for: a pause of its job type or queue, or its turn in a line.

    `kind` is "job_type", "queue" or "line", and `name` that of the job type or queue; `key` says
    which line of the queue, and is None for a pause.
    """

    kind: str
    name: str
    key: str | None = None


def waits_for(row: JobRequest) -> WaitsFor | None:
    """Return what a row waits for; None for one that waits for nothing, or that only newer code
    knows what for."""
    kind, _, name = (row.held_by or "").partition("#")
    if kind in list(Kind):
        return WaitsFor(kind, name)
    if kind == LINE:
        name, _, key = name.partition("#")  # neither has a "#"
        return WaitsFor(kind, name, key)
    return None
