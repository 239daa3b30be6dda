"""A campaign's contacts: one item for each phone number."""

from typing import Any

from pynamodb.attributes import Attribute, UnicodeAttribute
from pynamodb.constants import MAP

from store.table import Table


class Texts(Attribute[dict[str, str]]):
    """Texts by name. pynamodb's own map attribute would wrap each in objects of its own."""

    attr_type = MAP

    def serialize(self, value: Any) -> dict[str, dict[str, str]]:
        return {name: {"S": text} for name, text in value.items()}

    def deserialize(self, value: Any) -> dict[str, str]:
        return {name: text["S"] for name, text in value.items()}


class Contact(Table):
    """Someone a campaign can text. A later import of the same number takes its place."""

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "CONTACTS_TABLE_NAME"

    # The organisation comes first, so that no campaign's name can reach into another's contacts.
    organization_campaign = UnicodeAttribute(hash_key=True)
    cell = UnicodeAttribute(range_key=True)  # E.164
    first_name = UnicodeAttribute()
    last_name = UnicodeAttribute()
    zip = UnicodeAttribute(null=True)
    external_id = UnicodeAttribute(null=True)
    custom_fields = Texts(null=True)  # what every other column of its file says


def organization_campaign(organization_id: str, campaign_id: str) -> str:
    """Return the hash key of a campaign's contacts; an organisation's name has no `#`."""
    return f"{organization_id}#{campaign_id}"
