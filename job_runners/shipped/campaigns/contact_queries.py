"""Read a campaign's contacts with their assignments, in the order of their phone numbers."""

from collections.abc import Iterator
from typing import Any

from job_runners.aws import clients
from job_runners.settings import required
from job_runners.shipped.campaigns import assignment
from job_runners.shipped.campaigns.assignment import Assignment, Item
from job_runners.shipped.campaigns.contact import Contact

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


def contacts(
    organization_campaign: str, after: str | None = None, last: str | None = None
) -> Iterator[tuple[Contact, Assignment | None]]:
    """Yield each contact whose phone number comes after `after`, up to `last`, with its
    assignment."""
    for contact, found in _pairs(_query(organization_campaign, after, last)):
        yield Contact.from_raw_data(contact), found


def assignments(
    organization_campaign: str, after: str | None = None
) -> Iterator[tuple[str, Assignment | None]]:
    """Yield the phone number of each contact after `after`, with its assignment."""
    for contact, found in _pairs(_query(organization_campaign, after) | _ASSIGNMENT_ONLY):
        yield contact["cell"]["S"], found


def _pairs(query: dict[str, Any]) -> Iterator[tuple[Any, Assignment | None]]:
    contact: Item | None = None  # the last contact, until the item after it is read
    for item in _items(query):
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


def _query(
    organization_campaign: str, after: str | None, last: str | None = None
) -> dict[str, Any]:
    # A contact's assignment follows the contact. So the query starts after the assignment of
    # `after`, and ends with that of `last`. Phone numbers begin with "+", which comes after "#" and
    # before ",".
    return {
        "TableName": required(Contact.table_setting, "reading contacts"),
        "KeyConditionExpression": "#campaign = :campaign AND #cell BETWEEN :a AND :b",
        "ExpressionAttributeNames": _KEYS,
        "ExpressionAttributeValues": {
            ":campaign": {"S": organization_campaign},
            ":a": {"S": "#" if after is None else f"{assignment.key(after)}#"},
            ":b": {"S": "," if last is None else assignment.key(last)},
        },
        "ConsistentRead": True,
    }


def _items(query: dict[str, Any]) -> Iterator[Item]:
    while True:
        page = clients.client("dynamodb").query(**query)
        yield from page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        query["ExclusiveStartKey"] = page["LastEvaluatedKey"]
