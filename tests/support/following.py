"""Dispatch jobs to the local stack over HTTP, follow them to their ends, and count what they wrote.

The stack runs the project `examples/campaign`, whose jobs the end-to-end tests use as their load.
"""

import time
from typing import Any

from job_runners.cli.polling import FINISHED
from job_runners.cli.stack import Stack
from job_runners.client.connections import Response
from job_runners.places import DATA
from stack_clients import StackApi, session

ORGANIZATION = "default"
CAMPAIGN = "spring-canvass"
FEW_KEY = f"uploads/{ORGANIZATION}/few.csv"

_BUSY = 503
_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 300  # seconds to wait without any progress


def upload_few(stack: Stack) -> None:
    """Upload the ten contacts of the sample events.

    There are only ten, because an API call in `sam local` has 29 s for everything that it starts.
    """
    s3 = session(stack).client("s3", endpoint_url=stack.endpoint_url)
    s3.upload_file(str(DATA / "events" / "contacts.csv"), stack.bucket_name, FEW_KEY)


def run_job(
    api: StackApi, job_type: str, payload: dict[str, Any], campaign: str = CAMPAIGN
) -> dict[str, Any]:
    """Dispatch a job of a campaign, and return it once it is finished."""
    body = {
        "job_type": job_type,
        "organization_id": ORGANIZATION,
        "payload": {"campaign": campaign, **payload},
    }
    return follow(api, _job_of(api.post("/jobs", body), 202)["id"])


def follow(api: StackApi, job_id: str, *, patience: float = _PATIENCE_SECONDS) -> dict[str, Any]:
    """Read a job until it is finished. Raises AssertionError if it makes no progress for `patience`
    seconds.

    On a slow machine, the job may take longer, as long as it makes progress.
    """
    last, until = None, time.monotonic() + patience
    while True:
        answer = api.get(f"/jobs/{job_id}")
        if answer.status != _BUSY or time.monotonic() > until:  # otherwise read it again
            job = _job_of(answer, 200)
            if job["status"] in FINISHED:
                return job
            if job != last:
                last, until = job, time.monotonic() + patience
            assert time.monotonic() < until, f"no progress for {patience:.0f} s: {job}"
        time.sleep(_POLL_SECONDS)


def contacts_table(stack: Stack) -> str:
    """Return the name of the project's own table."""
    ssm = session(stack).client("ssm", endpoint_url=stack.endpoint_url)
    found = ssm.get_parameter(Name=f"/{stack.name}/app/CONTACTS_TABLE")
    return found["Parameter"]["Value"]


def contacts(stack: Stack, organization_campaign: str) -> list[dict[str, Any]]:
    """Return the contacts of a campaign, as the table has them."""
    dynamodb = session(stack).client("dynamodb", endpoint_url=stack.endpoint_url)
    pages = dynamodb.get_paginator("query").paginate(
        TableName=contacts_table(stack),
        KeyConditionExpression="organization_campaign = :campaign",
        FilterExpression="attribute_exists(first_name)",  # contacts, not their assignments
        ExpressionAttributeValues={":campaign": {"S": organization_campaign}},
    )
    return [item for page in pages for item in page["Items"]]


def _job_of(answer: Response, status: int) -> dict[str, Any]:
    assert answer.status == status, answer.text
    job: dict[str, Any] = answer.json
    return job
