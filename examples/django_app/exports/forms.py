"""What a person fills in."""

import uuid

from django import forms


class ExportForm(forms.Form):
    """Which campaign to export."""

    campaign_id = forms.CharField(label="Campaign", max_length=100)
    # Made with the page: a button that is pressed twice starts one export.
    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)
