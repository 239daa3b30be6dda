"""A campaign's contacts and their assignments, in the DynamoDB table of own.template.yaml.

Each phone number has one item. An import writes whole contacts, 25 at a time, and such a write
can't have a condition. So a contact's assignment to a texter is a separate item, which another
import of the contact doesn't change. Its sort key comes directly after the contact's, so that one
Query reads both.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, NamedTuple

from botocore.config import Config
from botocore.exceptions import ClientError
from pydantic import StringConstraints

from job_runners.work import Retry, RetryAfter, app_setting

CampaignId = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Item = Mapping[str, Mapping[str, Any]]  # as DynamoDB's own JSON has it

_SUFFIX = "#assignment"  # `#` is in no phone number, and sorts before every digit
_BATCH = 25  # items, DynamoDB's limit
_BACKOFF = Retry(base=0.05, cap=5.0)
_MAX_REFUSALS = 10  # in a row
_RETRY_SECONDS = 30.0  # until the job's next attempt
_KEYS = {"#campaign": "organization_campaign", "#cell": "cell"}
# The attributes of an assignment. A Query is billed for whole items, but needs to return only
# these.
_ASSIGNMENT_ONLY = {
    "ProjectionExpression": "#cell, #texter, #run, #status",
    "ExpressionAttributeNames": {
        **_KEYS,
        "#texter": "texter",
        "#run": "run",
        "#status": "message_status",
    },
}


@dataclass(frozen=True, kw_only=True)
class Contact:
    """A person whom a campaign can text. A later import of the same number replaces the item."""

    organization_campaign: str
    cell: str  # E.164
    first_name: str
    last_name: str
    zip: str | None = None
    external_id: str | None = None
    custom_fields: Mapping[str, str] | None = None  # the values of all other columns in the file

    @classmethod
    def from_item(cls, item: Item) -> "Contact":
        """Return the contact in an item."""
        custom = item.get("custom_fields", {}).get("M", {})
        texts = {name: value["S"] for name, value in item.items() if "S" in value}
        return cls(**texts, custom_fields={name: each["S"] for name, each in custom.items()})

    def item(self) -> dict[str, dict[str, Any]]:
        """Return the contact as an item."""
        item: dict[str, dict[str, Any]] = {
            name: {"S": value} for name, value in vars(self).items() if isinstance(value, str)
        }
        if self.custom_fields:
            item["custom_fields"] = {
                "M": {name: {"S": value} for name, value in self.custom_fields.items()}
            }
        return item


class MessageStatus(StrEnum):
    """The status of a contact's first message."""

    NEEDS_MESSAGE = "needs_message"  # assigned, and not texted yet
    SENDING = "sending"  # on its way to SNS, or its worker was killed on the way
    SENT = "sent"  # SNS accepted it
    REFUSED = "refused"  # SNS certainly did not accept it, and wouldn't later
    UNKNOWN = "unknown"  # SNS may have accepted it


class Assignment(NamedTuple):
    """A contact's texter. `run` is the run of the job that assigned the contact."""

    texter: str
    run: str
    message_status: MessageStatus

    @property
    def needs_message(self) -> bool:
        """Whether the contact is to be texted."""
        return self.message_status is MessageStatus.NEEDS_MESSAGE


@cache
def dynamodb() -> Any:
    """Return the client for DynamoDB, which all threads share. Call it in one thread first, because
    boto3 must not create clients in several threads at once."""
    import boto3  # imported here because the API, which imports this module, never calls it

    # boto3's own defaults would let one call outlast the job: 60 seconds, and up to ten times.
    # Throttled calls are repeated too, after a backoff.
    retries: Any = {"mode": "standard", "total_max_attempts": 6}
    return boto3.client(
        "dynamodb", config=Config(connect_timeout=3, read_timeout=5, retries=retries)
    )


def table() -> str:
    """Return the name of the contacts table. Raises AppSettingMissing."""
    return app_setting("CONTACTS_TABLE")


def organization_campaign(organization_id: str, campaign: str) -> str:
    """Return the hash key of a campaign's contacts.

    The organization comes first, so that no campaign can match another organization's contacts. Ids
    of organizations contain no `#`.
    """
    return f"{organization_id}#{campaign}"


def assignment_key(cell: str) -> str:
    """Return the sort key of a contact's assignment."""
    return cell + _SUFFIX


def contacts(
    campaign: str, after: str | None = None, last: str | None = None
) -> Iterator[tuple[Contact, Assignment | None]]:
    """Yield each contact whose phone number comes after `after`, up to `last`, with its
    assignment. `campaign` is the hash key."""
    for contact, found in _pairs(_query(campaign, after, last)):
        yield Contact.from_item(contact), found


def write(contacts: Sequence[Contact]) -> None:
    """Write all contacts. Each number may occur only once.

    Raises RetryAfter if the table refuses all that is left several times in a row.
    """
    for start in range(0, len(contacts), _BATCH):
        batch = contacts[start : start + _BATCH]
        left: Any = [{"PutRequest": {"Item": each.item()}} for each in batch]
        refusals = 0
        while left:
            answer = dynamodb().batch_write_item(RequestItems={table(): left})
            tried, left = left, answer.get("UnprocessedItems", {}).get(table())
            if left:
                refusals = refusals + 1 if len(left) == len(tried) else 0
                if refusals == _MAX_REFUSALS:
                    raise RetryAfter(_RETRY_SECONDS, "The contacts table is throttled")
                time.sleep(_BACKOFF.delay(refusals + 1))


def assignments(campaign: str, after: str | None = None) -> Iterator[tuple[str, Assignment | None]]:
    """Yield the phone number of each contact after `after`, with its assignment."""
    for contact, found in _pairs(_query(campaign, after) | _ASSIGNMENT_ONLY):
        yield contact["cell"]["S"], found


def assign(campaign: str, cell: str, texter: str, run: str) -> Assignment | None:
    """Assign a contact to a texter. If the contact already has an assignment, return that one.

    The returned assignment may belong to `run` itself: an earlier try whose response was lost, or
    another invocation of the same run, made it.
    """
    try:
        dynamodb().put_item(
            TableName=table(),
            Item={
                "organization_campaign": {"S": campaign},
                "cell": {"S": assignment_key(cell)},
                "texter": {"S": texter},
                "run": {"S": run},
                "message_status": {"S": MessageStatus.NEEDS_MESSAGE},
            },
            ConditionExpression="attribute_not_exists(cell)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except dynamodb().exceptions.ConditionalCheckFailedException as error:
        return _assignment(error.response["Item"])
    return None


def _pairs(query: dict[str, Any]) -> Iterator[tuple[Any, Assignment | None]]:
    contact: Item | None = None  # the last contact, until the item after it is read
    for page in dynamodb().get_paginator("query").paginate(**query):
        for item in page["Items"]:
            key = item["cell"]["S"]
            if not key.endswith(_SUFFIX):
                if contact is not None:
                    yield contact, None
                contact = item
            elif contact is not None and contact["cell"]["S"] == key.removesuffix(_SUFFIX):
                yield contact, _assignment(item)
                contact = None
    if contact is not None:
        yield contact, None


def _query(campaign: str, after: str | None, last: str | None = None) -> dict[str, Any]:
    # A contact's assignment follows the contact. So the query starts after the assignment of
    # `after`, and ends after that of `last`. DynamoDB refuses a start after the end, so both are
    # the same if `after` is `last`. Phone numbers begin with "+", which comes after "#" and before
    # ",".
    return {
        "TableName": table(),
        "KeyConditionExpression": "#campaign = :campaign AND #cell BETWEEN :a AND :b",
        "ExpressionAttributeNames": _KEYS,
        "ExpressionAttributeValues": {
            ":campaign": {"S": campaign},
            ":a": {"S": "#" if after is None else f"{assignment_key(after)}#"},
            ":b": {"S": "," if last is None else f"{assignment_key(last)}#"},
        },
        "ConsistentRead": True,
    }


def _assignment(item: Item) -> Assignment:
    status = MessageStatus(item["message_status"]["S"])
    return Assignment(item["texter"]["S"], item["run"]["S"], status)


def is_throttled(error: ClientError) -> bool:
    """Return whether AWS did nothing, because there were too many calls."""
    code = error.response.get("Error", {}).get("Code", "")
    return "Throttl" in code or code in (
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
    )
