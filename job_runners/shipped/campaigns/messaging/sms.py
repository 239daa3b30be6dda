"""Send a text through SNS, and classify failures by what is known about the outcome."""

from typing import Annotated, Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
)
from pydantic import StringConstraints

from job_runners.aws import clients
from job_runners.aws.errors import throttled
from job_runners.errors import RetryAfter
from job_runners.shipped.campaigns.errors import SmsOutcomeUnknown, TextRefused
from job_runners.shipped.campaigns.messaging.numbers import why_not_allowed

LONGEST = 1600  # characters, SNS's limit

Cell = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")]  # E.164
Text = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST)]

_PAUSE = 5.0  # seconds


def send(cell: str, text: str) -> None:
    """Send a text to one number. Each error says what is known about the message:

    - RetryAfter: SNS certainly did not accept it and may accept it later, because SNS throttled the
      call or no connection was made.
    - TextRefused: SNS did not accept it and won't later, or the number must not be texted.
    - SmsOutcomeUnknown: after a timeout or a failure inside SNS, the outcome is unknown.

    The errors contain no wording from SNS or botocore, and have no botocore exception as a cause.
    These may contain the phone number, and errors are logged and stored.
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
        raise _error_for(error) from None
    except BotoCoreError as error:
        raise SmsOutcomeUnknown(type(error).__name__) from None


def _error_for(error: ClientError) -> Exception:
    response: Any = error.response
    code, request = response["Error"]["Code"], response["ResponseMetadata"].get("RequestId")
    reason = f"SNS answered {code} to request {request}"
    if throttled(error):  # by SNS's limit or the account's
        return RetryAfter(_PAUSE, "SNS throttled the message")
    if response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
        return SmsOutcomeUnknown(reason)
    return TextRefused(reason)
