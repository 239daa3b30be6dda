"""The table of the outbox."""

from django.db import models


class Outbox(models.Model):
    """A dispatch to send after the commit."""

    key = models.CharField(max_length=255, primary_key=True)
    job_type = models.TextField()
    payload = models.JSONField()
    refused = models.TextField(null=True)
