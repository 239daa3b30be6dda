"""The Lambda function that sends the rows of Django's outbox that are left."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "website.settings")
django.setup()

from django.db import connection  # noqa: E402
from django_outbox.models import Outbox  # noqa: E402
from django_outbox.sending import send_next  # noqa: E402


def handler(_event: object, _context: object) -> None:
    """Send all rows. Lambda calls this every minute. Raises an error if rows are refused."""
    try:
        while send_next():
            pass
        if refused := Outbox.objects.exclude(refused=None).count():
            raise RuntimeError(f"{refused} rows of the outbox are refused")
    finally:
        connection.close()  # Lambda freezes the process
