"""Send a text through SNS, and classify failures by what is known about the outcome."""

from typing import Annotated, Any

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
)
from pydantic import StringConstraints

from campaign.contacts import is_throttled
from campaign.errors import SmsOutcomeUnknown, TextRefused
from job_runners.work import RetryAfter

LONGEST = 1600  # characters, SNS's limit

Cell = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")]  # E.164
Text = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST)]

_PAUSE = 5.0  # seconds
# Some country codes belong to no country: satellite networks, and networks that span countries.
_NO_COUNTRY = "001"  # the code in phonenumbers


class Sms:
    """Sends texts in one invocation, which needs an object of its own.

    Lambda freezes a process between two invocations. The first request on a connection that was
    closed in the meantime is lost, with an error that doesn't show whether SNS received it. And
    botocore must not repeat a request, because that could text a person twice.
    """

    def __init__(self) -> None:
        import boto3  # imported here because the API, which imports this module, never sends

        config = Config(retries={"total_max_attempts": 1}, connect_timeout=3, read_timeout=10)
        self._client = boto3.client("sns", config=config)

    def send(self, cell: str, text: str) -> None:
        """Send a text to one number. Each error says what is known about the message:

        - RetryAfter: SNS certainly did not accept it and may accept it later, because SNS throttled
          the call or no connection was made.
        - TextRefused: SNS did not accept it and won't later, or the number must not be texted.
        - SmsOutcomeUnknown: after a timeout or a failure inside SNS, the outcome is unknown.

        The errors contain no wording from SNS or botocore, and have no botocore exception as a
        cause. These may contain the phone number, and errors are logged and stored.
        """
        if why := why_not_allowed(cell):
            raise TextRefused(f"the number {why}")
        try:
            self._client.publish(
                PhoneNumber=cell,
                Message=text,
                MessageAttributes={
                    "AWS.SNS.SMS.SMSType": {
                        "DataType": "String",
                        "StringValue": "Transactional",
                    }
                },
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
    if is_throttled(error):  # by SNS's limit or the account's
        return RetryAfter(_PAUSE, "SNS throttled the message")
    if response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
        return SmsOutcomeUnknown(reason)
    return TextRefused(reason)


def why_not_allowed(cell: str) -> str | None:
    """Return why a number (E.164) must not be texted, or None if it may be.

    Texts to some numbers are very expensive for the sender, and part of the price goes to the
    person who requested the text. The words follow "the number".
    """
    # Imported here because the import takes 20 ms. The API imports every task's module for its
    # payload, but never calls this function.
    import phonenumbers

    number = phonenumbers.parse(cell, None)
    if phonenumbers.region_code_for_country_code(number.country_code or 0) == _NO_COUNTRY:
        return "belongs to no country"
    if phonenumbers.number_type(number) == phonenumbers.PhoneNumberType.PREMIUM_RATE:
        return "has a premium rate"
    return None
