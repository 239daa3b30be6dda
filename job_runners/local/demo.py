"""Run the demonstration's import: upload a contacts file, import it with a job over HTTP, and count
the contacts."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from job_runners.cli.polling import FINISHED
from job_runners.cli.stack import Stack
from job_runners.client.connections import Answer
from job_runners.client.http_api import HttpApi
from job_runners.local.credentials import session
from job_runners.local.problem import LocalProblem
from job_runners.local.run_checks import Check
from job_runners.local.sample import ROWS, Expected, write_sample
from job_runners.local.stack_api import stack_api
from job_runners.places import COMMAND, DATA

ORGANIZATION = "default"
CAMPAIGN = "spring-canvass"
KEY = f"uploads/{ORGANIZATION}/contacts.csv"
FEW_KEY = f"uploads/{ORGANIZATION}/few.csv"

_BUSY = 503
_POLL_SECONDS = 0.2
_PATIENCE_SECONDS = 300  # seconds to wait without any progress


@dataclass(frozen=True)
class Imported:
    """The outcome of the import, and the expected one."""

    job: dict[str, Any]
    expected: Expected
    contacts: int  # contacts in the contacts table
    seconds: float  # seconds from the dispatch to the outcome

    @property
    def differences(self) -> list[str]:
        """The differences from the expected outcome, a line for each."""
        if self.job["status"] != "succeeded":
            return [f"The job is {self.job['status']}: {self.job.get('error')}"]
        return [str(check) for check in self.checks if not check.right]

    @property
    def checks(self) -> list[Check]:
        """The counts of the import, with the expected ones."""
        result, expected = self.job.get("result") or {}, self.expected
        rejected = (result.get("rejected") or {}).get("rows", 0)
        return [
            Check("imported", result.get("imported"), expected.imported),
            Check("  invalid", result.get("invalid"), expected.invalid),
            Check("  repeated", result.get("repeated"), expected.repeated),
            Check("  rejected rows", rejected, expected.invalid + expected.repeated),
            Check("  contacts in the table", self.contacts, expected.imported),
        ]


def _show_nothing(job: dict[str, Any]) -> None:
    pass


def upload_sample(stack: Stack, home: Path, rows: int = ROWS) -> Expected:
    """Upload a sample with this number of rows for the import."""
    sample = home / "contacts.csv"
    expected = write_sample(sample, rows)
    s3 = session(stack).client("s3", endpoint_url=stack.endpoint_url)
    s3.upload_file(str(sample), stack.bucket_name, KEY)
    return expected


def upload_few(stack: Stack) -> None:
    """Upload the ten contacts of the sample events.

    There are only ten, because an API call in `sam local` has 29 s for everything that it starts.
    """
    s3 = session(stack).client("s3", endpoint_url=stack.endpoint_url)
    s3.upload_file(str(DATA / "events" / "contacts.csv"), stack.bucket_name, FEW_KEY)


def run_import(
    stack: Stack, expected: Expected, show: Callable[[dict[str, Any]], None] = _show_nothing
) -> Imported:
    """Dispatch the import and follow it to its end. `show` gets each view of the job."""
    began = time.monotonic()
    payload = {"key": KEY, "country": "US"}
    job = run_job(stack_api(stack), "import_contacts", payload, show)
    seconds = time.monotonic() - began
    return Imported(job, expected, count_contacts(stack, ORGANIZATION, CAMPAIGN), seconds)


def run_job(
    api: HttpApi,
    job_type: str,
    payload: dict[str, Any],
    show: Callable[[dict[str, Any]], None] = _show_nothing,
) -> dict[str, Any]:
    """Dispatch a job of the sample's campaign, and return it once it is finished."""
    body = {
        "job_type": job_type,
        "organization_id": ORGANIZATION,
        "campaign_id": CAMPAIGN,
        "payload": payload,
    }
    return follow(api, _job_of(api.post("/jobs", body), 202)["id"], show)


def follow(
    api: HttpApi,
    job_id: str,
    show: Callable[[dict[str, Any]], None] = _show_nothing,
    patience: float = _PATIENCE_SECONDS,
) -> dict[str, Any]:
    """Read a job until it is finished. Raises LocalProblem if it makes no progress for `patience`
    seconds.

    On a slow machine, the job may take longer, as long as it makes progress.
    """
    waiting = Waiting(f"The job {job_id[:8]}", patience)
    while True:
        answer = api.get(f"/jobs/{job_id}")
        if answer.status != _BUSY or waiting.is_over:  # otherwise read it again
            job = _job_of(answer, 200)
            show(job)
            if job["status"] in FINISHED:
                return job
            waiting.saw(job, f"is still {job['status']}, at {job['progress']:.0f}%")
        time.sleep(_POLL_SECONDS)


class Waiting:
    """A wait that ends after `patience` seconds without progress. Progress restarts the time."""

    def __init__(self, what: str, patience: float = _PATIENCE_SECONDS) -> None:
        self._what = what
        self._patience = patience
        self._last: Any = None
        self._until = time.monotonic() + patience

    @property
    def is_over(self) -> bool:
        """Whether there was no progress for too long."""
        return time.monotonic() > self._until

    def saw(self, now: Any, how_far: str) -> None:
        """Record the current state. Raises LocalProblem if it has not changed for too long."""
        if now != self._last:
            self._last, self._until = now, time.monotonic() + self._patience
        elif self.is_over:
            raise LocalProblem(
                f"{self._what} {how_far}, and has made no progress for {self._patience:.0f} s. "
                "It may still finish, but this run stops waiting. Look for the cause with "
                f"{COMMAND} logs."
            )


def count_contacts(stack: Stack, organization: str, campaign: str) -> int:
    """Return the number of contacts that the table has for a campaign."""
    dynamodb = session(stack).client("dynamodb", endpoint_url=stack.endpoint_url)
    pages = dynamodb.get_paginator("query").paginate(
        TableName=stack.contacts_table_name,
        Select="COUNT",
        KeyConditionExpression="organization_campaign = :campaign",
        FilterExpression="attribute_exists(first_name)",  # contacts, not their assignments
        ExpressionAttributeValues={":campaign": {"S": f"{organization}#{campaign}"}},
    )
    return sum(page["Count"] for page in pages)


def _job_of(answer: Answer, status: int) -> dict[str, Any]:
    if answer.status != status:
        raise LocalProblem(f"The API answered {answer.status} instead of {status}: {answer.text}")
    job: dict[str, Any] = answer.json
    return job
