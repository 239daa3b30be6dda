"""Which requests one unit of work costs, from its dispatch until its outcome is kept.

They are counted on their way to the local AWS, over several units.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.live_aws import LiveAws, Notes
from benchmarks.peers import CELERY, DRAMATIQ, DURABLE, ZAPPA
from benchmarks.recording import read

UNITS = 10
_SETTLES = 2.0  # seconds in which what follows the work's first line is done
_LISTS = ("DescribeTable", "DescribeTimeToLive", "ListQueues", "GetQueueUrl", "GetQueueAttributes")

Requests = Mapping[str, float]  # of one unit, by operation


def of_a_recording(recording: Path) -> Requests:
    """Return those of a job of ours. It reads what is paused once in 10 s, for all jobs."""
    counted = Counter(each.operation for each in read(recording))
    del counted["Query"]
    return {name: float(count) for name, count in counted.items()}


def celery(live: LiveAws) -> Requests:
    """Return those of a task of Celery whose result is kept."""
    with live.serving(CELERY, "celery_program"):
        return _counted(
            live,
            "celery",
            lambda notes, names: live.call(
                CELERY.interpreter, "celery_program", "send", "work", notes, "0", *names
            ),
        )


def dramatiq(live: LiveAws) -> Requests:
    """Return those of an actor of Dramatiq, whose result is not kept."""
    with live.serving(DRAMATIQ, "dramatiq_program"):
        return _counted(
            live,
            "dramatiq",
            lambda notes, names: live.call(
                DRAMATIQ.interpreter, "dramatiq_program", "send", notes, "0", *names
            ),
        )


def zappa(live: LiveAws) -> Requests:
    """Return those of a task of Zappa whose response is captured."""
    return _counted(
        live,
        "zappa",
        lambda notes, names: live.call(
            ZAPPA.interpreter, "zappa_program", "send", "zappa", notes, "0", *names
        ),
    )


def durable(live: LiveAws, function: str) -> Requests:
    """Return those of an execution of one step."""
    return _counted(
        live,
        "durable",
        lambda notes, names: live.call(
            DURABLE.interpreter, "durable_program", "send", function, notes, "0", *names
        ),
    )


def _counted(live: LiveAws, title: str, send: Callable[[str, Sequence[str]], object]) -> Requests:
    """Send one unit, so that all is connected, then count those of the others."""
    notes = Notes(live.folder, f"counted-{title}")
    send(str(notes.path), ["first"])
    notes.wait_for(1)
    time.sleep(_SETTLES)
    live.proxy.counted.clear()
    send(str(notes.path), [f"unit-{number}" for number in range(UNITS)])
    notes.wait_for(1 + UNITS)
    time.sleep(_SETTLES)
    counted = live.proxy.counted.copy()
    return {name: count / UNITS for name, count in counted.most_common() if name not in _LISTS}
