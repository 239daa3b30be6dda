"""Assignments: an item for each contact, with its texter and the status of its first message.

An import writes whole contacts, 25 at a time, and such a write can't have a condition. So the
assignment is a separate item, which another import of the contact doesn't change. Its sort key
comes directly after the contact's, so that one Query reads both.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from job_runners.aws import clients
from job_runners.aws.errors import condition_failed
from job_runners.settings import required
from job_runners.shipped.campaigns.contact import Contact

_SUFFIX = "#assignment"  # `#` is in no phone number, and sorts before every digit

Item = Mapping[str, Mapping[str, Any]]  # as DynamoDB's own JSON has it


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


def key(cell: str) -> str:
    """Return the sort key of a contact's assignment."""
    return cell + _SUFFIX


def cell_of(sort_key: str) -> str | None:
    """Return the phone number whose assignment has this sort key, or None if the key is a
    contact's."""
    return sort_key.removesuffix(_SUFFIX) if sort_key.endswith(_SUFFIX) else None


def needs_message(assignment: Assignment | None) -> bool:
    """Return whether a contact with this assignment is to be texted."""
    return assignment is not None and assignment.message_status is MessageStatus.NEEDS_MESSAGE


def from_item(item: Item) -> Assignment:
    """Return the assignment in an item."""
    status = MessageStatus(item["message_status"]["S"])
    return Assignment(item["texter"]["S"], item["run"]["S"], status)


def assign(organization_campaign: str, cell: str, texter: str, run: str) -> Assignment | None:
    """Assign a contact to a texter. If the contact already has an assignment, return that one.

    The returned assignment may belong to `run` itself: an earlier try whose response was lost, or
    another invocation of the same run, made it.
    """
    try:
        clients.client("dynamodb").put_item(
            TableName=required(Contact.table_setting, "assigning contacts"),
            Item={
                "organization_campaign": {"S": organization_campaign},
                "cell": {"S": key(cell)},
                "texter": {"S": texter},
                "run": {"S": run},
                "message_status": {"S": MessageStatus.NEEDS_MESSAGE},
            },
            ConditionExpression="attribute_not_exists(cell)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except ClientError as error:
        if not condition_failed(error):
            raise
        return from_item(error.response["Item"])  # type: ignore[typeddict-item]
    return None
