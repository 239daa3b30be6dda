"""Measure the time from a dispatch to the start of the work, on the local AWS.

For comparison, a function that only notes its start is invoked directly, the same number of times.
"""

import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.environment import PROGRAMS
from benchmarks.live_aws import LiveAws, Notes

_APART = 0.05  # seconds between dispatches, so that the last job's outcome is written


@dataclass(frozen=True)
class Latency:
    """The seconds from each dispatch to the first line of the dispatched code."""

    title: str
    seconds: Sequence[float]

    def percentile(self, percent: float) -> float:
        """Return the number of seconds that `percent` percent of the values don't exceed."""
        ordered = sorted(self.seconds)
        return ordered[math.ceil(percent / 100 * len(ordered)) - 1]


def measure(live: LiveAws, dispatches: int) -> list[Latency]:
    """Dispatch this number of jobs. Invoke the bare function before each of them."""
    lambda_client = live.client("lambda")
    function = live.create_function("empty", [])
    bare_notes, job_notes = Notes(live.folder, "empty"), Notes(live.folder, "jobs")
    found: dict[str, list[float]] = {"bare": [], "ours": []}
    dispatcher = subprocess.Popen(
        [sys.executable, str(PROGRAMS / "dispatcher.py"), str(job_notes.path)],
        env=live.our_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with dispatcher:
        assert dispatcher.stdin is not None  # noqa: S101 - both are pipes
        assert dispatcher.stdout is not None  # noqa: S101
        for number in range(dispatches + 1):  # the first, a cold start, is left out below
            sent_at = time.time()
            payload = f'{{"notes": "{bare_notes.path}"}}'.encode()
            lambda_client.invoke(FunctionName=function, InvocationType="Event", Payload=payload)
            found["bare"].append(bare_notes.wait_for(number + 1).at - sent_at)
            dispatcher.stdin.write("\n")
            dispatcher.stdin.flush()
            sent_at = float(dispatcher.stdout.readline().split()[0])
            found["ours"].append(job_notes.wait_for(number + 1).at - sent_at)
            time.sleep(_APART)
        dispatcher.stdin.close()
    return [
        Latency("a job of Job Runners, saved before it is sent", found["ours"][1:]),
        Latency("a function that only records its start, invoked with boto3", found["bare"][1:]),
    ]
