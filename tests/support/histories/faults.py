"""The faults of a simulated Lambda that can be switched on and off. Others can always happen.

A fault that is off makes no choices. So after a new fault is added, a seed still plays the same
history as before if the new fault is off.
"""

from collections.abc import Set
from enum import StrEnum


class Fault(StrEnum):
    """A fault that can be switched on."""

    STORM = "storm"  # a service refuses, or does not answer, for 5 to 120 s
    NETWORK = "network"  # one call gets a network error, before or after it landed
    NO_ANSWER = "no answer"  # a write lands, but neither it nor any repetition is answered
    CONFLICT = "conflict"  # a write conflicts with a transaction on the same item
    TORN = "torn"  # a transaction becomes visible item by item
    RETRY_QUOTA = "retry quota"  # botocore's retries are limited
    MACHINES = "machines"  # each process has its own cache of pauses and limits
    STALE_READS = "stale reads"  # reads of an index, and others that aren't consistent
    NOT_LOADED = "not loaded"  # a worker could not be loaded, or the event grew too old
    DEPLOYS = "deploys"  # several versions of the code at once, one of them broken
    LEGACY = "legacy"  # a worker process of the legacy runner takes saved jobs too
    EXPIRY = "expiry"  # weeks pass, expired items are deleted, and ids are reused
    PAYLOADS = "payloads"  # a job is retried manually with another payload
    UNIQUE = "unique"  # unique jobs, requested again and again
    LIMITS = "limits"  # queues with slots and rates, changed by operators and deploys
    SCHEDULES = "schedules"  # schedules, changed by operators
    GROUPS = "groups"  # jobs that wait for the jobs that they dispatch
    WAITS = "waits"  # jobs that wait in their functions
    BULK = "bulk"  # many jobs with one request, which is repeated; many children with one call
    FOLLOW_UPS = "follow-ups"  # jobs with follow-ups
    CLASSES = "classes"  # worker classes, whose functions may not be there; code with other ones
    SUBSCRIPTIONS = "subscriptions"  # webhooks that get the ends of jobs; needs FOLLOW_UPS


OFF: frozenset[Fault] = frozenset()
ALL = frozenset(Fault)


def of_seed(seed: int) -> frozenset[Fault]:
    """Return the faults that a seed's history has by default.

    These are all faults, with nine exceptions. Limits are in every fifth history, because they
    take three times as long. Schedules are in every sixth, and unique work in every eighth. Waits
    are in every fourth, bulk dispatches in every seventh, and follow-ups in every third. Groups
    are in every sixth. Subscriptions are in every third history with follow-ups. Worker classes are
    in every fourth.
    """
    left_out = {
        Fault.LIMITS: seed % 5 != 0,
        Fault.SCHEDULES: seed % 6 != 1,
        Fault.UNIQUE: seed % 8 != 7,
        Fault.WAITS: seed % 4 != 2,
        Fault.GROUPS: seed % 6 != 4,
        Fault.BULK: seed % 7 != 3,
        Fault.FOLLOW_UPS: seed % 3 != 2,
        Fault.SUBSCRIPTIONS: seed % 9 != 5,
        Fault.CLASSES: seed % 4 != 3,
    }
    return ALL - {fault for fault, is_left_out in left_out.items() if is_left_out}


_ALL, _NONE = "all", "none"


def of_text(text: str) -> frozenset[Fault]:
    """Return the faults that a command names: all, none, or some separated by commas. Raises
    ValueError."""
    if text in (_ALL, _NONE):
        return ALL if text == _ALL else OFF
    return frozenset(map(Fault, text.split(",")))


def as_text(faults: Set[Fault]) -> str:
    """Return faults as a command names them."""
    if faults == ALL:
        return _ALL
    return ",".join(fault for fault in Fault if fault in faults) or _NONE
