"""The form for a text."""

import uuid

from django import forms

from .models import Text


class TextForm(forms.ModelForm):
    """A text to count."""

    # The id is made with the page, so that pressing the button twice adds one text.
    id = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)

    class Meta:
        """The fields that a person fills in."""

        model = Text
        fields = ("body",)
