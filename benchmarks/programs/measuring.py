"""Measure a unit of work in this process. The last line printed is the result."""

import os
import sys
import time
from collections.abc import Callable

_WARM_UP = 10  # units that fill caches, open connections and finish lazy imports
_MEASUREMENTS = 4


def measure(unit: Callable[[], object], units: int) -> None:
    """Print the CPU seconds of one unit, and end the process.

    It makes several measurements of `units` units each, and prints the lowest result. With 0 units,
    the process ends after one unit and prints nothing, because the caller then measures the whole
    process. It ends with `os._exit`, because Lambda freezes processes and never tears down their
    modules.
    """
    for _ in range(_WARM_UP if units else 1):
        unit()
    if not units:
        os._exit(0)
    lowest = float("inf")
    for _ in range(_MEASUREMENTS):
        began = time.process_time()
        for _ in range(units):
            unit()
        lowest = min(lowest, time.process_time() - began)
    print(f"\n{lowest / units!r}")
    sys.stdout.flush()
    os._exit(0)
