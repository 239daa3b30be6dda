"""A campaign's contacts in the order of their numbers, each with its assignment, page by page."""

from collections.abc import Iterator
from typing import Any

from aws import clients
from campaigns.assigning import assignment
from campaigns.assigning.assignment import Assignment, Item
from campaigns.contact import Contact
from settings import required

# What tells whose a contact is. A Query is billed for whole items, but the rest need not travel.
_ASSIGNMENT_ONLY = {
    "ProjectionExpression": "cell, texter, #run, message_status",
    "ExpressionAttributeNames": {"#run": "run"},
}


def contacts(
    organization_campaign: str, after: str | None = None
) -> Iterator[tuple[Contact, Assignment | None]]:
    """Every contact whose number comes after `after`, whole."""
    for contact, found in _pairs(organization_campaign, after, {}):
        yield Contact.from_raw_data(contact), found


def assignments(
    organization_campaign: str, after: str | None = None
) -> Iterator[tuple[str, Assignment | None]]:
    """Yield the same, but of each contact its number alone."""
    for contact, found in _pairs(organization_campaign, after, _ASSIGNMENT_ONLY):
        yield contact["cell"]["S"], found


def _pairs(
    organization_campaign: str, after: str | None, options: dict[str, Any]
) -> Iterator[tuple[Any, Assignment | None]]:
    contact: Item | None = None  # read, but what follows it not yet
    for item in _items(organization_campaign, after, options):
        cell = assignment.owner(item["cell"]["S"])
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
            # Behind the assignment that follows the contact. Before all: every number has a `+`.
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
