"""The form for an export."""

import uuid

from django import forms


class ExportForm(forms.Form):
    """The campaign to export."""

    campaign = forms.CharField(label="Campaign", max_length=100)
    # The key is made with the page, so that pressing the button twice starts only one export.
    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)
