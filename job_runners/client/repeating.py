"""Repeat requests after a wait, and create idempotency keys."""

import os
import time
from collections.abc import Callable
from itertools import count

from job_runners.client.connections import Response
from job_runners.client.errors import NoAnswer

# Waits are random. Their upper bound is first _FIRST_WAIT, doubles after each attempt, and is at
# most _MAX_WAIT. Both are in seconds.
_FIRST_WAIT = 0.2
_MAX_WAIT = 10.0
MAX_REQUESTED_WAIT = 60.0  # seconds; the client gives up if the API asks for a longer wait


def wait_seconds(attempts: int, requested: float | None) -> float:
    """Return the seconds to wait after this number of attempts.

    `requested` is the wait in seconds that the API asked for, or None. The result is at least that
    long. A random part keeps many clients from calling again at the same time.
    """
    random = int.from_bytes(os.urandom(4), "big") / 2**32
    bound = min(_MAX_WAIT, _FIRST_WAIT * 2.0 ** (attempts - 1))
    if requested is None:
        return random * bound
    return requested + random * max(bound, requested / 4)


def send_repeatedly(
    send: Callable[[], Response], is_temporary: Callable[[Response], bool], max_attempts: int
) -> Response:
    """Repeat a request while its response is a temporary error. Return the last response.

    Raises NoAnswer if the last attempt got no response.
    """
    for attempt in count(1):
        is_last = attempt >= max_attempts
        try:
            response = send()
        except NoAnswer:
            if is_last:
                raise
        else:
            if is_last or not is_temporary(response):
                break
        time.sleep(wait_seconds(attempt, None))
    return response


def new_key() -> str:
    """Return a new, unique idempotency key."""
    return os.urandom(16).hex()
