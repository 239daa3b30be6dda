"""Waits between attempts, and idempotency keys."""

import os

# The longest wait before the second attempt, in seconds. It doubles with each attempt, up to _MAX.
_FIRST = 0.2
_MAX = 10.0
LONGEST_ASKED = 60.0  # seconds: the client gives up if the API asks for a longer wait


def pause(tries: int, asked: float | None) -> float:
    """Return the seconds to wait after this number of attempts.

    `asked` is the wait in seconds that the API asked for, or None. The result is never less. A
    random part keeps many clients from calling again at the same time.
    """
    share = int.from_bytes(os.urandom(4), "big") / 2**32
    bound = min(_MAX, _FIRST * 2.0 ** (tries - 1))
    return share * bound if asked is None else asked + share * max(bound, asked / 4)


def new_key() -> str:
    """Return a new, unique idempotency key."""
    return os.urandom(16).hex()
