"""How much a test does: little in `make test`, more in `make test MORE=1`, all in `make chaos`."""

import os


def by_size(test: int, more: int, chaos: int | None = None) -> int:
    """Return the number for this run."""
    if os.environ.get("CHAOS"):
        return more if chaos is None else chaos
    return more if os.environ.get("MORE") else test
