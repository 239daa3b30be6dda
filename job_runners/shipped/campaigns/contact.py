"""A campaign's contacts, with one item per phone number."""

from typing import Any

from pynamodb.attributes import Attribute, UnicodeAttribute
from pynamodb.constants import MAP

from job_runners.store.table import Table


class Texts(Attribute[dict[str, str]]):
    """A map of strings. pynamodb's own map attribute would wrap each value in an object."""

    attr_type = MAP

    def serialize(self, value: Any) -> dict[str, dict[str, str]]:
        return {name: {"S": text} for name, text in value.items()}

    def deserialize(self, value: Any) -> dict[str, str]:
        return {name: text["S"] for name, text in value.items()}


class Contact(Table):
    """A person whom a campaign can text. A later import of the same number replaces the item."""

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "CONTACTS_TABLE_NAME"

    # The organization comes first, so that no campaign id can match another organization's
    # contacts.
    organization_campaign = UnicodeAttribute(hash_key=True)
    cell = UnicodeAttribute(range_key=True)  # E.164
    first_name = UnicodeAttribute()
    last_name = UnicodeAttribute()
    zip = UnicodeAttribute(null=True)
    external_id = UnicodeAttribute(null=True)
    custom_fields = Texts(null=True)  # the values of all other columns in the file


def organization_campaign(organization_id: str, campaign_id: str) -> str:
    """Return the hash key of a campaign's contacts. Ids of organizations contain no `#`."""
    return f"{organization_id}#{campaign_id}"
