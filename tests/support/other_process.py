"""Another process of a stack, which has caches of its own."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from job_runners.store import limits, pauses


@contextmanager
def other_process() -> Iterator[None]:
    """Act as another process in this block. What this process has read stays as it is."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (limits, pauses):
            patch.setattr(module, "_cache", module._Cache())
        yield
