"""Waits between attempts, and idempotency keys."""

import os

_FIRST = 0.2  # seconds: the longest wait before the second attempt; it doubles each time
_LONGEST = 10.0
LONGEST_ASKED = 60.0  # seconds: the client gives up if the API asks for a longer wait


def pause(tries: int, asked: float | None) -> float:
    """Return the seconds to wait after this number of attempts.

    The wait is at least the `asked` seconds of the API. A random part keeps many clients from
    calling again at the same time.
    """
    share = int.from_bytes(os.urandom(4), "big") / 2**32
    bound = min(_LONGEST, _FIRST * 2.0 ** (tries - 1))
    return share * bound if asked is None else asked + share * max(bound, asked / 4)


def new_key() -> str:
    """Return a new, unique idempotency key."""
    return os.urandom(16).hex()
