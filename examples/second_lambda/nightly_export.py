"""A Lambda that dispatches a job every night to export a campaign's contacts."""

import os
from typing import Any

from job_runners import Client

client = Client()  # from JOB_RUNNERS_URL; made once, so that invocations share its connections


def handler(event: dict[str, Any], _context: object) -> dict[str, str]:
    """Dispatch tonight's export.

    EventBridge may deliver an event twice, and Lambda retries a failed invocation. With the event's
    id as the key, all of them lead to one job.
    """
    job = client.dispatch(
        "export_contacts", {"campaign": os.environ["CAMPAIGN"]}, idempotency_key=event["id"]
    )
    return {"job_id": job.id, "status": job.status}
