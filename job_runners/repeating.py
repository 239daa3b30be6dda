"""When a call is made again, and how long to wait before."""

import os

_FIRST = 0.2  # seconds: the longest wait before the second try; it doubles with each
_LONGEST = 10.0
LONGEST_ASKED = 60.0  # seconds: who asks for a longer wait is not waited for


def pause(tries: int, asked: float | None) -> float:
    """Return how many seconds to wait after so many tries.

    What the API has `asked` for is the least. A random part keeps many clients from coming back at
    once.
    """
    share = int.from_bytes(os.urandom(4), "big") / 2**32
    bound = min(_LONGEST, _FIRST * 2.0 ** (tries - 1))
    return share * bound if asked is None else asked + share * max(bound, asked / 4)


def new_key() -> str:
    """Return an idempotency key that nobody else has."""
    return os.urandom(16).hex()
