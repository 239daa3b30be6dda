"""The transitions: each changes a job's row in one way, on a condition that is part of the write.

Only this package and `job_runners.store.caller_transitions` change a JobRequest.

| file | transitions |
|---|---|
| `saving` | save |
| `claiming` | claim; checkpoint and renew, while the job runs |
| `ending` | end a claimed run: succeed, fail, stop, retry, end_invocation, release |
| `replacing` | replace, for unique work; imported only where it is needed |
| `holding` | hold, hold_in_line, admit, restore_entry: for pauses and for queues with limits |
| `checking` | expire, postpone, set_aside, for rows that the timer found due |
"""

from job_runners.store.transitions.checking import expire, postpone, set_aside
from job_runners.store.transitions.claiming import (
    CLAIM_TOLERANCE,
    SKEW,
    Entrance,
    checkpoint,
    claim,
    renew,
)
from job_runners.store.transitions.ending import (
    Checkpoint,
    end_invocation,
    fail,
    release,
    retry,
    stop,
    succeed,
)
from job_runners.store.transitions.holding import admit, hold, hold_in_line, restore_entry
from job_runners.store.transitions.saving import NewJob, save

__all__ = [
    "CLAIM_TOLERANCE",
    "SKEW",
    "Checkpoint",
    "Entrance",
    "NewJob",
    "admit",
    "checkpoint",
    "claim",
    "end_invocation",
    "expire",
    "fail",
    "hold",
    "hold_in_line",
    "postpone",
    "release",
    "renew",
    "restore_entry",
    "retry",
    "save",
    "set_aside",
    "stop",
    "succeed",
]
