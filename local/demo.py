"""The whole path once: a contacts file uploaded, imported by a job over HTTP, and counted."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.api_client import Answer, ApiClient
from local.emulator import session
from local.problem import LocalProblem
from local.sample import Expected, write_sample
from local.stack import Stack

ORGANIZATION = "default"
CAMPAIGN = "spring-canvass"
KEY = f"uploads/{ORGANIZATION}/contacts.csv"
FINISHED = frozenset({"succeeded", "failed", "cancelled"})

_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 300


@dataclass(frozen=True)
class Imported:
    """What came of the import, and what had to."""

    job: dict[str, Any]
    expected: Expected
    contacts: int  # in the contacts table
    seconds: float  # from the dispatch to the outcome

    @property
    def differences(self) -> list[str]:
        """What is not as it had to be, a line for each; none if all is well."""
        if self.job["status"] != "succeeded":
            return [f"the job is {self.job['status']}: {self.job.get('error')}"]
        result = self.job["result"]
        rejected = (result.get("rejected") or {}).get("rows", 0)
        expected = self.expected
        compared = [
            ("imported", result.get("imported"), expected.imported),
            ("invalid", result.get("invalid"), expected.invalid),
            ("repeated", result.get("repeated"), expected.repeated),
            ("rejected rows", rejected, expected.invalid + expected.repeated),
            ("contacts in the table", self.contacts, expected.imported),
        ]
        return [
            f"{what}: {got}, expected {wanted}" for what, got, wanted in compared if got != wanted
        ]


def upload_sample(stack: Stack, home: Path) -> Expected:
    """Put the sample where an import may read it."""
    sample = home / "contacts.csv"
    expected = write_sample(sample)
    s3 = session().client("s3", endpoint_url=stack.endpoint_url)
    s3.upload_file(str(sample), stack.bucket_name, KEY)
    return expected


def run_import(
    stack: Stack, expected: Expected, show: Callable[[dict[str, Any]], None]
) -> Imported:
    """Dispatch the import and follow it to its end; `show` is given each view of the job."""
    api = ApiClient(stack)
    began = time.monotonic()
    body = {
        "job_type": "import_contacts",
        "organization_id": ORGANIZATION,
        "campaign_id": CAMPAIGN,
        "payload": {"key": KEY, "country": "US"},
    }
    job = _accepted(api.post("/jobs", body), 202)
    while job["status"] not in FINISHED:
        if time.monotonic() - began > _PATIENCE_SECONDS:
            raise LocalProblem(f"The job is still {job['status']} after {_PATIENCE_SECONDS} s")
        time.sleep(_POLL_SECONDS)
        job = _accepted(api.get(f"/jobs/{job['id']}"), 200)
        show(job)
    seconds = time.monotonic() - began
    return Imported(job, expected, count_contacts(stack, ORGANIZATION, CAMPAIGN), seconds)


def count_contacts(stack: Stack, organization: str, campaign: str) -> int:
    """How many contacts the table holds of a campaign."""
    dynamodb = session().client("dynamodb", endpoint_url=stack.endpoint_url)
    pages = dynamodb.get_paginator("query").paginate(
        TableName=stack.contacts_table_name,
        Select="COUNT",
        KeyConditionExpression="organization_campaign = :campaign",
        ExpressionAttributeValues={":campaign": {"S": f"{organization}#{campaign}"}},
    )
    return sum(page["Count"] for page in pages)


def _accepted(answer: Answer, status: int) -> dict[str, Any]:
    if answer.status != status:
        raise LocalProblem(f"The API answered {answer.status} instead of {status}: {answer.text}")
    job: dict[str, Any] = answer.json
    return job
