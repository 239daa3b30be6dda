"""The campaigns for which an organization has imported contacts.

Contacts stay after the jobs that wrote them have expired. When an organization is erased, this list
is the only way to find its contacts, because tables are never scanned.
"""

from pynamodb.attributes import UnicodeAttribute

from job_runners.store.table import Table


class UsedCampaign(Table):
    """A campaign of an organization."""

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "COORDINATION_TABLE_NAME"

    pk = UnicodeAttribute(hash_key=True)  # the organization
    sk = UnicodeAttribute(range_key=True)  # the campaign's id


def note(organization_id: str, campaign_id: str) -> None:
    """Add a campaign to its organization's list."""
    UsedCampaign(f"campaigns#{organization_id}", campaign_id).save()
