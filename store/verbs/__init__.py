"""The verbs of a job's life: each changes its row in one way, if the write's own condition holds.

With `store.owner_verbs` this is the only code that changes a JobRequest.

| file | verbs |
|---|---|
| `saving` | save |
| `claiming` | claim; checkpoint and renew, while it runs |
| `ending` | how a claimed run ends: succeed, fail, stop, retry, end_leg, release |
| `replacing` | replace, of work that is unique: imported where it is needed |
| `parking` | park and admit, for pauses and for queues with limits; list_again |
| `checking` | what is done to a row that is met: expire, postpone, set_aside; uncount |
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
from store.verbs.parking import admit, list_again, park, park_in_line
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
    "list_again",
    "park",
    "park_in_line",
    "postpone",
    "release",
    "renew",
    "retry",
    "save",
    "set_aside",
    "stop",
    "succeed",
    "uncount",
]
