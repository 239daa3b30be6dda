"""Saves dispatches in the transaction of their data, and sends them after it."""

import logging
from typing import Any

from django.db import transaction

from job_runners import Client, Conflict, InvalidRequest

from .models import Outbox

log = logging.getLogger(__name__)
client = Client(timeout=5, max_attempts=1)  # JOB_RUNNERS_URL


def dispatch_later(job_type: str, payload: dict[str, Any], *, key: str) -> None:
    """Save a dispatch in the current transaction. After the commit, it's sent: at once or later.

    An error after the commit is only logged.
    """
    Outbox.objects.create(key=key, job_type=job_type, payload=payload)
    transaction.on_commit(send_next, robust=True)


def send_next() -> bool:
    """Send one row in a transaction of its own. Return False if there is none."""
    with transaction.atomic():
        rows = Outbox.objects.select_for_update(skip_locked=True).filter(refused=None)
        row = rows.order_by("key").first()
        if row is None:
            return False
        try:
            client.dispatch(row.job_type, row.payload, idempotency_key=row.key)
        except (InvalidRequest, Conflict, ValueError) as error:  # another try would not help
            log.error("The outbox's row %s is refused: %s", row.key, error)
            row.refused = str(error)
            row.save(update_fields=["refused"])
        else:
            row.delete()
    return True
