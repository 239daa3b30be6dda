"""Send a text through SNS, and classify failures by what is known about the outcome.

Two settings limit the numbers that may be texted, because texts to some numbers are very expensive
for the sender, and part of the price goes to the person who requested the text. TEXT_COUNTRIES has
the allowed countries, such as US,GB, and TEXT_NUMBER_TYPES the types of phonenumbers.
"""

from collections.abc import Callable, Container
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
from job_runners.work import DoNotRetry, RetryAfter, app_setting

LONGEST = 1600  # characters, SNS's limit

Cell = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")]  # E.164
Text = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST)]

_PAUSE = 5.0  # seconds
_TYPES = "mobile,fixed_line,fixed_line_or_mobile,voip,personal_number,pager,uan,voicemail,toll_free"
_TYPES += ",shared_cost,unknown"
# Some country codes belong to no country: satellite networks, and networks that span countries.
_SATELLITE = "satellite"
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
        self._why_not_allowed = number_rule()

    def send(self, cell: str, text: str) -> None:
        """Send a text to one number. Each error says what is known about the message:

        - RetryAfter: SNS certainly did not accept it and may accept it later, because SNS throttled
          the call or no connection was made.
        - TextRefused: SNS did not accept it and won't later, or the number must not be texted.
        - SmsOutcomeUnknown: after a timeout or a failure inside SNS, the outcome is unknown.

        The errors contain no wording from SNS or botocore, and have no botocore exception as a
        cause. These may contain the phone number, and errors are logged and stored.
        """
        if why := self._why_not_allowed(cell):
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


def number_rule() -> Callable[[str], str | None]:
    """Return a function that returns why a number (E.164) must not be texted, or None if it may be.

    The returned words follow "the number", and reveal only its country and type. Both come from
    the numbering plans in the installed version of phonenumbers. Raises DoNotRetry for a setting
    with an unknown country or type.
    """
    # Imported here because the import takes 20 ms. The API imports every task's module for its
    # payload, but never calls this function.
    import phonenumbers

    kind_of = phonenumbers.PhoneNumberType.to_string
    known = {kind_of(each).lower() for each in phonenumbers.PhoneNumberType.values()}
    types = _listed("TEXT_NUMBER_TYPES", _TYPES, known | {_SATELLITE})
    countries = _listed("TEXT_COUNTRIES", "", phonenumbers.SUPPORTED_REGIONS)

    def why_not_allowed(cell: str) -> str | None:
        number = phonenumbers.parse(cell, None)
        if phonenumbers.region_code_for_country_code(number.country_code or 0) == _NO_COUNTRY:
            # These codes include toll-free and premium numbers, which follow the same rule.
            if _SATELLITE in types:
                return None
            return f"belongs to no country, and TEXT_NUMBER_TYPES does not list {_SATELLITE}"
        kind = kind_of(phonenumbers.number_type(number)).lower()
        if kind not in types:
            return f"is of type {kind}, which TEXT_NUMBER_TYPES does not list"
        country = phonenumbers.region_code_for_number(number)
        if countries and country not in countries:
            return f"is from {country or 'an unknown country'}, which TEXT_COUNTRIES does not list"
        return None

    return why_not_allowed


def _listed(name: str, default: str, known: Container[str]) -> set[str]:
    """Return the entries of a setting, separated by commas. Raises DoNotRetry for an unknown
    entry."""
    listed = {each.strip() for each in app_setting(name, default=default).split(",")} - {""}
    for each in listed:
        if each not in known:
            raise DoNotRetry(f"the setting {name} lists {each!r}, which doesn't exist")
    return listed
