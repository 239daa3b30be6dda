"""A Lambda that has a campaign's contacts exported every night, by a job."""

import os
from typing import Any

from job_runners import Client

client = Client()  # JOB_RUNNERS_URL. Made once: its connections are kept between invocations.


def handler(event: dict[str, Any], _context: object) -> dict[str, str]:
    """Dispatch tonight's export.

    EventBridge may deliver an event twice, and Lambda tries a failed invocation again. Under the
    event's own id as the key, all of them are one job.
    """
    job = client.dispatch(
        "export_contacts", campaign_id=os.environ["CAMPAIGN_ID"], idempotency_key=event["id"]
    )
    return {"job_id": job.id, "status": job.status}
