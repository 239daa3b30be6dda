"""The tasks of the site. Job Runners runs them on the worker."""

import re
from collections import Counter
from datetime import timedelta

from django.tasks import task
from django.utils import timezone

from job_runners.django import max_attempts

from .models import Text


@task
@max_attempts(3)
def count_words(text_id: str) -> int:
    """Save how often each word of a text occurs. Return the number of different words."""
    text = Text.objects.get(pk=text_id)
    text.words = Counter(re.findall(r"\w+", text.body.lower()))
    text.save(update_fields=["words"])
    return len(text.words)


@task
def delete_old_texts(days: int) -> int:
    """Delete the texts that are older than this. Return how many they were."""
    oldest = timezone.now() - timedelta(days=days)
    _, deleted = Text.objects.filter(added_at__lt=oldest).delete()
    return deleted.get("texts.Text", 0)
