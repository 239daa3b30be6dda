"""The table of texts."""

import uuid

from django.db import models


class Text(models.Model):
    """A text, and how often each of its words occurs."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    body = models.TextField(max_length=100_000)
    added_at = models.DateTimeField(auto_now_add=True)
    words = models.JSONField(null=True)
    result_id = models.CharField(max_length=100)  # of the task that counts the words
