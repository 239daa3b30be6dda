"""Interpret AWS errors: is a retry useful, and did a write's condition fail?"""

from collections.abc import Callable
from secrets import SystemRandom
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
from pynamodb.exceptions import PynamoDBException, VerboseClientError

from job_runners import clock

# A call raises one of these if AWS refuses the request or doesn't respond.
AWS_ERRORS = (BotoCoreError, ClientError, PynamoDBException)
# Error codes, without a final "Exception": the reasons of a canceled transaction don't have it.
_THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "SlowDown",
        "Throttled",
        "Throttling",
        "ThrottlingError",
        "TooManyRequests",
    }
)
_CONFLICT = "TransactionConflict"
# After these codes, AWS may have carried out the call, or may still be working on it.
_IN_DOUBT = frozenset({"ReplicatedWriteConflict", "RequestTimeout", "TransactionInProgress"})
# `retry_until` repeats a call that botocore has stopped retrying. It first waits up to this
# long, and up to twice as long before each further try.
_FIRST_PAUSE = 0.2  # seconds
_MAX_PAUSE = 5.0
# `retry_on_conflict` repeats a write that conflicts with another write of the same item.
_MAX_CONFLICT_TRIES = 4
_MAX_CONFLICT_PAUSE = 0.1  # seconds
_T = TypeVar("_T")


def is_temporary(error: BaseException | None) -> bool:
    """Return whether a retry may help: AWS throttled, failed, was unreachable or had a conflict.

    A retry doesn't help if a permission or a table is missing, or if an item is too large.
    """
    error = underlying_error(error)
    if not isinstance(error, ClientError):
        return isinstance(error, ConnectionError | HTTPClientError)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    temporary = {*_THROTTLED, *_IN_DOUBT, _CONFLICT}
    return status >= 500 or status == 429 or bool(_codes(error) & temporary)


def retry_until(until: int, call: Callable[[], _T]) -> _T:
    """Return a function's result. Repeat the call as long as it raises temporary errors.

    Raises the last error if another try would begin after `until` (milliseconds since 1970). Use it
    only for calls that may be repeated: reads, and writes whose condition no longer holds after
    they have succeeded.
    """
    max_pause = _FIRST_PAUSE
    while True:
        try:
            return call()
        except AWS_ERRORS as error:
            pause = SystemRandom().uniform(max_pause / 2, max_pause)
            if not is_temporary(error) or clock.now() + pause * clock.SECOND >= until:
                raise
        clock.sleep(pause)
        max_pause = min(2 * max_pause, _MAX_PAUSE)


def retry_on_conflict(write: Callable[[], _T]) -> _T:
    """Call `write`. Try again if it conflicts with another write of the same item."""
    for _ in range(_MAX_CONFLICT_TRIES - 1):
        try:
            return write()
        except PynamoDBException as error:
            if not is_conflict(error):
                raise
            clock.sleep(SystemRandom().uniform(0, _MAX_CONFLICT_PAUSE))
    return write()


def condition_failed(error: BaseException) -> bool:
    """Return whether a write failed because its condition didn't hold.

    Unlike pynamodb's `cause_response_code`, this also accepts errors without a response, such as a
    timeout, and returns False for them.
    """
    cause = underlying_error(error)
    return isinstance(cause, ClientError) and "ConditionalCheckFailed" in _codes(cause)


def try_write(write: Callable[[], object]) -> bool:
    """Call `write`, which makes a conditional write. Return False if its condition failed."""
    try:
        write()
    except PynamoDBException as error:
        if not condition_failed(error):
            raise
        return False
    return True


def is_conflict(error: BaseException) -> bool:
    """Return whether a write conflicted with a simultaneous transaction on the same item.

    botocore doesn't retry such a write.
    """
    cause = underlying_error(error)
    return isinstance(cause, ClientError) and _CONFLICT in _codes(cause)


def underlying_error(error: BaseException | None) -> BaseException | None:
    """Return the botocore error that caused a pynamodb error. Return any other error unchanged."""
    if isinstance(error, PynamoDBException):
        error = error.cause
    if isinstance(error, VerboseClientError):
        error = error.__cause__  # pynamodb's own error has no HTTP status
    return error


def _codes(error: ClientError) -> set[str]:
    """Return the error's code and, for a canceled transaction, the codes of its reasons."""
    response: Any = error.response
    reasons = [response["Error"], *response.get("CancellationReasons", [])]
    return {str(reason.get("Code")).removesuffix("Exception") for reason in reasons}
