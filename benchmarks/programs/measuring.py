"""Measure a unit of work in this process, and print the result as the last line."""

import os
import sys
import time
from collections.abc import Callable

_WARM_UP = 10  # units that fill caches, open connections and finish lazy imports
_STRETCHES = 4


def measure(unit: Callable[[], object], units: int) -> None:
    """Print the CPU seconds of one unit, and end the process.

    It measures several stretches of `units` units, and the least counts. With 0 units, the process
    ends after one unit and prints nothing, because then the caller measures the whole process. It
    ends with `os._exit`, because Lambda freezes processes and never tears down their modules.
    """
    for _ in range(_WARM_UP if units else 1):
        unit()
    if not units:
        os._exit(0)
    least = float("inf")
    for _ in range(_STRETCHES):
        began = time.process_time()
        for _ in range(units):
            unit()
        least = min(least, time.process_time() - began)
    print(f"\n{least / units!r}")
    sys.stdout.flush()
    os._exit(0)
