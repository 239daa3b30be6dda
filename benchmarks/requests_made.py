"""Count the requests of one unit of work, from its dispatch until its outcome is stored.

A proxy in front of the local AWS counts the requests of several units.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.live_aws import LiveAws, Notes
from benchmarks.peers import CELERY, DRAMATIQ, DURABLE, ZAPPA
from benchmarks.recording import read

UNITS = 10
_SETTLES = 2.0  # seconds from the start of the work until it has surely finished
_NOT_COUNTED = (
    "DescribeTable",
    "DescribeTimeToLive",
    "ListQueues",
    "GetQueueUrl",
    "GetQueueAttributes",
)

Requests = Mapping[str, float]  # of one unit, by operation


def of_a_recording(recording: Path) -> Requests:
    """Return the requests of one of our jobs.

    The query for pauses is excluded, because a worker makes it only once in 10 s for all jobs.
    """
    counted = Counter(each.operation for each in read(recording))
    del counted["Query"]
    return {name: float(count) for name, count in counted.items()}


def celery(live: LiveAws) -> Requests:
    """Return the requests of a Celery task whose result is kept."""
    with live.serving(CELERY, "celery_program"):
        return _count(
            live,
            "celery",
            lambda notes, names: live.call(
                CELERY.interpreter, "celery_program", "send", "work", notes, "0", *names
            ),
        )


def dramatiq(live: LiveAws) -> Requests:
    """Return the requests of a Dramatiq actor, whose result isn't kept."""
    with live.serving(DRAMATIQ, "dramatiq_program"):
        return _count(
            live,
            "dramatiq",
            lambda notes, names: live.call(
                DRAMATIQ.interpreter, "dramatiq_program", "send", notes, "0", *names
            ),
        )


def zappa(live: LiveAws) -> Requests:
    """Return the requests of a Zappa task whose response is captured."""
    return _count(
        live,
        "zappa",
        lambda notes, names: live.call(
            ZAPPA.interpreter, "zappa_program", "send", "zappa", notes, "0", *names
        ),
    )


def durable(live: LiveAws, function: str) -> Requests:
    """Return the requests of a durable execution with one step."""
    return _count(
        live,
        "durable",
        lambda notes, names: live.call(
            DURABLE.interpreter, "durable_program", "send", function, notes, "0", *names
        ),
    )


def _count(live: LiveAws, title: str, send: Callable[[str, Sequence[str]], object]) -> Requests:
    """Send one unit, which opens all connections. Then send UNITS more, and count the requests.

    Return the requests per unit.
    """
    notes = Notes(live.folder, f"counted-{title}")
    send(str(notes.path), ["first"])
    notes.wait_for(1)
    time.sleep(_SETTLES)
    live.proxy.counted.clear()
    send(str(notes.path), [f"unit-{number}" for number in range(UNITS)])
    notes.wait_for(1 + UNITS)
    time.sleep(_SETTLES)
    counted = live.proxy.counted.copy()
    return {
        name: count / UNITS for name, count in counted.most_common() if name not in _NOT_COUNTED
    }
