"""Read a campaign's contacts with their assignments, in the order of their phone numbers."""

from collections.abc import Iterator
from typing import Any

from job_runners.aws import clients
from job_runners.settings import required
from job_runners.shipped.campaigns import assignment
from job_runners.shipped.campaigns.assignment import Assignment, Item
from job_runners.shipped.campaigns.contact import Contact

# The attributes of an assignment. A Query is billed for whole items, but needs to return only
# these.
_ASSIGNMENT_ONLY = {
    "ProjectionExpression": "cell, texter, #run, message_status",
    "ExpressionAttributeNames": {"#run": "run"},
}


def contacts(
    organization_campaign: str, after: str | None = None
) -> Iterator[tuple[Contact, Assignment | None]]:
    """Yield each contact whose phone number comes after `after`, with its assignment."""
    for contact, found in _pairs(organization_campaign, after, {}):
        yield Contact.from_raw_data(contact), found


def assignments(
    organization_campaign: str, after: str | None = None
) -> Iterator[tuple[str, Assignment | None]]:
    """Yield the phone number of each contact after `after`, with its assignment."""
    for contact, found in _pairs(organization_campaign, after, _ASSIGNMENT_ONLY):
        yield contact["cell"]["S"], found


def _pairs(
    organization_campaign: str, after: str | None, options: dict[str, Any]
) -> Iterator[tuple[Any, Assignment | None]]:
    contact: Item | None = None  # the last contact, until the item after it is read
    for item in _items(organization_campaign, after, options):
        cell = assignment.cell_of(item["cell"]["S"])
        if cell is None:
            if contact is not None:
                yield contact, None
            contact = item
        elif contact is not None and contact["cell"]["S"] == cell:
            yield contact, assignment.from_item(item)
            contact = None
    if contact is not None:
        yield contact, None


def _items(
    organization_campaign: str, after: str | None, options: dict[str, Any]
) -> Iterator[Item]:
    query = {
        "TableName": required(Contact.table_setting, "reading contacts"),
        "KeyConditionExpression": "organization_campaign = :campaign AND cell > :after",
        "ExpressionAttributeValues": {
            ":campaign": {"S": organization_campaign},
            # Start after the contact's assignment, which follows the contact. "#" comes before all
            # numbers, because they begin with `+`.
            ":after": {"S": "#" if after is None else assignment.key(after)},
        },
        "ConsistentRead": True,
        **options,
    }
    while True:
        page = clients.client("dynamodb").query(**query)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        query["ExclusiveStartKey"] = page["LastEvaluatedKey"]
