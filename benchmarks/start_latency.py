"""Measure the time from a dispatch to the start of the work, on the local AWS.

It is compared with the same number of bare invocations of a function that only notes its start.
"""

import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.environment import PROGRAMS
from benchmarks.live_aws import LiveAws, Notes

_APART = 0.05  # seconds between dispatches, in which the job's outcome is written


@dataclass(frozen=True)
class Latency:
    """The seconds from each dispatch to the first line of the dispatched code."""

    title: str
    seconds: Sequence[float]

    def percentile(self, percent: float) -> float:
        """Return the value that `percent` percent of them don't exceed."""
        ordered = sorted(self.seconds)
        return ordered[math.ceil(percent / 100 * len(ordered)) - 1]


def measure(live: LiveAws, dispatches: int) -> list[Latency]:
    """Dispatch this number of jobs, and invoke the bare function as often, in turn."""
    functions = live.client("lambda")
    function = live.create_function("empty", [])
    theirs, ours = Notes(live.folder, "empty"), Notes(live.folder, "jobs")
    found: dict[str, list[float]] = {"bare": [], "ours": []}
    dispatcher = subprocess.Popen(
        [sys.executable, str(PROGRAMS / "dispatcher.py"), str(ours.path)],
        env=live.ours(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with dispatcher:
        assert dispatcher.stdin is not None  # noqa: S101 - both are pipes
        assert dispatcher.stdout is not None  # noqa: S101
        for number in range(dispatches + 1):  # the first starts the functions' processes
            began = time.time()
            payload = f'{{"notes": "{theirs.path}"}}'.encode()
            functions.invoke(FunctionName=function, InvocationType="Event", Payload=payload)
            found["bare"].append(theirs.wait_for(number + 1).at - began)
            dispatcher.stdin.write("\n")
            dispatcher.stdin.flush()
            began = float(dispatcher.stdout.readline().split()[0])
            found["ours"].append(ours.wait_for(number + 1).at - began)
            time.sleep(_APART)
        dispatcher.stdin.close()
    return [
        Latency("a job of Job Runners, saved before it is sent", found["ours"][1:]),
        Latency("a bare Event invocation of a function that only notes it", found["bare"][1:]),
    ]
