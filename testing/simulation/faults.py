"""Which faults a simulated Lambda has, beside those that are always there.

Each is drawn only where it is switched on: without it a seed plays what it played before it was
added.
"""

from collections.abc import Set
from enum import StrEnum


class Fault(StrEnum):
    """What can go wrong."""

    STORM = "storm"  # a service refuses, or does not answer, for 5 to 120 s
    NETWORK = "network"  # one call meets a network error, before or after it landed
    NO_ANSWER = "no answer"  # a write lands; neither it nor any repetition is answered
    CONFLICT = "conflict"  # a write meets a transaction of the same item
    RETRY_QUOTA = "retry quota"  # botocore has only so many retries
    MACHINES = "machines"  # what a process remembers of pauses is not what the next one does
    INDEX_LAG = "index lag"  # an index is behind its table
    NOT_LOADED = "not loaded"  # a worker could not be loaded, or the event grew too old
    DEPLOYS = "deploys"  # several versions of the code at once, one of them broken
    LEGACY = "legacy"  # a worker process of the legacy runner takes saved jobs too
    EXPIRY = "expiry"  # weeks go by, items that have expired are deleted, ids are used again
    PAYLOADS = "payloads"  # a job is retried by hand with another payload
    UNIQUE = "unique"  # jobs of which there is one for each key, asked for again and again
    LIMITS = "limits"  # queues with slots and rates, which people and deploys change
    SCHEDULES = "schedules"  # recurring work, which people change


OFF: frozenset[Fault] = frozenset()
ALL = frozenset(Fault)


def of_seed(seed: int) -> frozenset[Fault]:
    """Return what the history of a seed has unless it is told otherwise: all, but limits in every
    fifth one only, which take three times as long as the others, schedules in every sixth, and
    unique work in every eighth."""
    left_out = {
        Fault.LIMITS: seed % 5 != 0,
        Fault.SCHEDULES: seed % 6 != 1,
        Fault.UNIQUE: seed % 8 != 7,
    }
    return ALL - {fault for fault, is_left_out in left_out.items() if is_left_out}


_ALL, _NONE = "all", "none"


def of_text(text: str) -> frozenset[Fault]:
    """Return the faults that a command names: all, none, or some of them, with commas. Raises
    ValueError."""
    if text in (_ALL, _NONE):
        return ALL if text == _ALL else OFF
    return frozenset(map(Fault, text.split(",")))


def as_text(faults: Set[Fault]) -> str:
    """Return faults as a command names them."""
    if faults == ALL:
        return _ALL
    return ",".join(fault for fault in Fault if fault in faults) or _NONE
