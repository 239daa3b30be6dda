"""The verbs of a job: each changes its row in one way, on a condition that is part of the write.

Only this package and `store.owner_verbs` change a JobRequest.

| file | verbs |
|---|---|
| `saving` | save |
| `claiming` | claim; checkpoint and renew, while the job runs |
| `ending` | the ends of a claimed run: succeed, fail, stop, retry, end_leg, release |
| `replacing` | replace, for unique work; imported where it is needed |
| `parking` | park and admit, for pauses and for queues with limits; restore_entry |
| `checking` | for rows that the timer has found: expire, postpone, set_aside; also uncount |
"""

from store.verbs.checking import expire, postpone, set_aside, uncount
from store.verbs.claiming import (
    CLAIM_TOLERANCE,
    SKEW,
    Entrance,
    checkpoint,
    claim,
    renew,
)
from store.verbs.ending import Checkpoint, end_leg, fail, release, retry, stop, succeed
from store.verbs.parking import admit, park, park_in_line, restore_entry
from store.verbs.saving import save

__all__ = [
    "CLAIM_TOLERANCE",
    "SKEW",
    "Checkpoint",
    "Entrance",
    "admit",
    "checkpoint",
    "claim",
    "end_leg",
    "expire",
    "fail",
    "park",
    "park_in_line",
    "postpone",
    "release",
    "renew",
    "restore_entry",
    "retry",
    "save",
    "set_aside",
    "stop",
    "succeed",
    "uncount",
]
