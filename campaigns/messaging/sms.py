"""Hands a text to SNS, and tells what is known of it if that fails."""

from typing import Annotated, Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
)
from pydantic import StringConstraints

from aws import clients
from aws.errors import throttled
from campaigns.errors import SmsOutcomeUnknown, TextRefused
from campaigns.messaging.numbers import why_not_allowed
from errors import RetryAfter

LONGEST = 1600  # characters, SNS's limit

Cell = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")]  # E.164
Text = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST)]

_PAUSE = 5.0  # seconds


def send(cell: str, text: str) -> None:
    """Text one person, at most once as far as we can tell.

    Raises RetryAfter when SNS surely did not take the message and may take it later: it refused for
    load, or no connection was made. TextRefused: it did not and will not, or
    the number is none that may be texted. SmsOutcomeUnknown: after a
    timeout or a failure inside SNS nobody knows.

    None of them carries what SNS or botocore said, nor leads to it by its cause: their words may
    hold the number, and errors are logged and kept.
    """
    kind = {"DataType": "String", "StringValue": "Transactional"}
    if why := why_not_allowed(cell):
        raise TextRefused(f"the number {why}")
    sns = clients.client("sns")
    try:
        sns.publish(
            PhoneNumber=cell,
            Message=text,
            MessageAttributes={"AWS.SNS.SMS.SMSType": kind},
        )
    except (EndpointConnectionError, ConnectTimeoutError) as error:
        raise RetryAfter(_PAUSE, f"SNS can't be reached ({type(error).__name__})") from None
    except ClientError as error:
        raise _answer(error) from None
    except BotoCoreError as error:
        raise SmsOutcomeUnknown(type(error).__name__) from None


def _answer(error: ClientError) -> Exception:
    response: Any = error.response
    code, request = response["Error"]["Code"], response["ResponseMetadata"].get("RequestId")
    said = f"SNS answered {code} to request {request}"
    if throttled(error):  # too many at once, by its limit or by the account's
        return RetryAfter(_PAUSE, "SNS takes no more messages for now")
    if response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
        return SmsOutcomeUnknown(said)
    return TextRefused(said)
