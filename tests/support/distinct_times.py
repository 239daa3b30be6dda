"""Times that differ: what happens within one millisecond has no order."""

import threading

_NEVER_SET = threading.Event()


def next_millisecond() -> None:
    """Wait until the clock shows another millisecond, also in a test that replaces `time.sleep`."""
    _NEVER_SET.wait(0.001)
