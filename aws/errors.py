"""What an error of AWS means: whether it may pass, and whether an item refused a write."""

from collections.abc import Callable
from secrets import SystemRandom
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
from pynamodb.exceptions import PynamoDBException, VerboseClientError

import clock

# What a call raises when AWS does not answer, or not with what was asked for.
AWS_ERRORS = (BotoCoreError, ClientError, PynamoDBException)
_CONFLICT = "TransactionConflict"
# Codes without "Exception" at their end: the reasons of a cancelled transaction have none.
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
# The call may have been carried out, or be under way still.
_IN_DOUBT = frozenset({"ReplicatedWriteConflict", "RequestTimeout", "TransactionInProgress"})
# Between two tries of a call that botocore has given up on, in seconds: the first and the longest.
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
_T = TypeVar("_T")


def may_pass(error: BaseException | None) -> bool:
    """Return whether AWS was throttled, broken, busy with the same item, or out of reach.

    A refusal that would only be repeated does not pass: no permission, no such table, too large an
    item.
    """
    error = _origin(error)
    if not isinstance(error, ClientError):
        return isinstance(error, ConnectionError | HTTPClientError)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    passing = {*_THROTTLED, *_IN_DOUBT, _CONFLICT}
    return status >= 500 or status == 429 or bool(_codes(error) & passing)


def throttled(error: ClientError) -> bool:
    """Return whether AWS refused the call only because there are too many: it did nothing."""
    return bool(_codes(error) & _THROTTLED)


def retry_until(until: int, call: Callable[[], _T]) -> _T:
    """Return what the call returns, made again for as long as its error may pass.

    Raises the last error once another try would begin after `until` (milliseconds since 1970). For
    calls that may be repeated: reads, and writes whose condition tells that they have landed.
    """
    bound = _FIRST_PAUSE
    while True:
        try:
            return call()
        except AWS_ERRORS as error:
            pause = SystemRandom().uniform(bound / 2, bound)
            if not may_pass(error) or clock.now() + pause * clock.SECOND >= until:
                raise
        clock.sleep(pause)
        bound = min(2 * bound, _LONGEST_PAUSE)


def condition_failed(error: BaseException) -> bool:
    """Return whether an item refused a write by its condition, as opposed to AWS refusing the call.

    An error without a response (a connection that broke, a timeout) tells nothing of the item.
    pynamodb's own `cause_response_code` raises AttributeError for those.
    """
    origin = _origin(error)
    return isinstance(origin, ClientError) and "ConditionalCheckFailed" in _codes(origin)


def conflicts(error: BaseException) -> bool:
    """Return whether a write met another one of the same item, in a transaction.

    botocore does not repeat those.
    """
    origin = _origin(error)
    return isinstance(origin, ClientError) and _CONFLICT in _codes(origin)


def _origin(error: BaseException | None) -> BaseException | None:
    if isinstance(error, PynamoDBException):
        error = error.cause
    if isinstance(error, VerboseClientError):
        error = error.__cause__  # pynamodb's own leaves out the HTTP status
    return error


def _codes(error: ClientError) -> set[str]:
    """Return why AWS refused: the code, and of a transaction each of its reasons too."""
    answer: Any = error.response
    found = [answer["Error"], *answer.get("CancellationReasons", [])]
    return {str(each.get("Code")).removesuffix("Exception") for each in found}
