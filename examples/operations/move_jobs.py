"""Dispatch an organization's jobs that haven't begun to a stack elsewhere, and cancel them here.

python move_jobs.py ORGANIZATION

Pause their job types first. If the script stops, run it again.
"""

import sys
from typing import Any

import boto3

from job_runners import Client, Credentials


def connect(profile: str, region: str) -> Client:
    """Return a client for the stack in this account and region."""
    session = boto3.Session(profile_name=profile, region_name=region)
    session_credentials: Any = session.get_credentials()
    found = session_credentials.get_frozen_credentials()
    credentials = Credentials(found.access_key, found.secret_key, found.token)
    return Client(
        stack="STACK", region=region, credentials=credentials, organization_id=sys.argv[1]
    )


old, new = connect("old", "eu-west-1"), connect("new", "eu-central-1")
for status in ("scheduled", "queued", "waiting", "retryable", "running"):
    for listed in list(old.list(status=status)):
        job = old.get(listed.id)
        if job.started_at or job.parent_id or job.on_end or job.on_failure or job.payload is None:
            print("left", job.id, job.job_type, job.status)
            continue
        new.dispatch(
            job.job_type,
            job.payload,
            queue_name=job.queue_name,
            run_at=job.run_at,
            idempotency_key=job.id,
        )
        old.cancel(job.id)
        print("moved", job.id, job.job_type)
