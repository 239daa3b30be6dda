"""Texts one person, through SNS."""

from typing import Annotated, Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
)
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from errors import DoNotRetry, RetryAfter
from store import aws

# SNS did not take the message: too many at once, by its limit or by the account's.
_THROTTLED = frozenset(
    {"ThrottledException", "Throttling", "ThrottlingException", "TooManyRequestsException"}
)
_PAUSE = 5.0  # seconds


class SendMessage(BaseModel):
    """Whom to text, and what."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"cell": "+12125550123", "text": "Polls close at 8."}]},
    )

    cell: Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")] = Field(
        description="The phone number in E.164, as contacts have it.", examples=["+12125550123"]
    )
    text: Annotated[str, StringConstraints(min_length=1, max_length=1600)] = Field(
        description="The message. Longer than 160 characters (70 with any outside GSM 03.38), it "
        "is sent, and billed, in parts.",
        examples=["Polls close at 8."],
    )


def send_message(payload: SendMessage) -> None:
    """Hand the message to SNS, at most once as far as we can tell.

    A person should not get a text twice, so it is tried again only when SNS surely did not take
    it: it refused for load, or no connection was made. After a timeout or a failure inside SNS
    nobody knows, and the message is given up rather than doubled. Lambda itself may, rarely,
    deliver a task twice: who can't have that at all needs a job that records what it sent.
    """
    kind = {"DataType": "String", "StringValue": "Transactional"}
    sns = aws.client("sns")
    try:
        sns.publish(
            PhoneNumber=payload.cell,
            Message=payload.text,
            MessageAttributes={"AWS.SNS.SMS.SMSType": kind},
        )
    except (EndpointConnectionError, ConnectTimeoutError) as error:
        raise RetryAfter(_PAUSE, "SNS can't be reached") from error
    except ClientError as error:
        raise _answer(error) from error
    except BotoCoreError as error:
        raise DoNotRetry(f"given up, for SNS may have taken the message: {error}") from error


def _answer(error: ClientError) -> Exception:
    response: Any = error.response
    code, message = response["Error"]["Code"], response["Error"].get("Message", "")
    if code in _THROTTLED:
        return RetryAfter(_PAUSE, "SNS takes no more messages for now")
    return DoNotRetry(f"SNS did not send the message: {code}: {message}")
