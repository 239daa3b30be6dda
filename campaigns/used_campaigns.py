"""The campaigns that an organisation has imported contacts for.

Contacts stay when the jobs that wrote them have expired. This list is what leads to them then, when
the organisation is to be erased: there is no other, and a table is never scanned.
"""

from pynamodb.attributes import UnicodeAttribute

from store.table import Table


class UsedCampaign(Table):
    """A campaign of an organisation."""

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "COORDINATION_TABLE_NAME"

    pk = UnicodeAttribute(hash_key=True)  # the organisation
    sk = UnicodeAttribute(range_key=True)  # the campaign's id


def note(organization_id: str, campaign_id: str) -> None:
    """List a campaign with its organisation."""
    UsedCampaign(f"campaigns#{organization_id}", campaign_id).save()
