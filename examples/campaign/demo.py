"""Run the rest of the demonstration, and check its counts: assign, text and export the contacts.

It assigns and texts a few contacts first. Then it assigns the others, and exports all contacts.
"""

import csv
import io
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Any

from job_runners.local.demo import CAMPAIGN, ORGANIZATION, run_job
from job_runners.local.run_checks import Check

from job_runners.cli.stack import Stack
from job_runners.client.http_api import HttpApi
from job_runners.local.credentials import session
from job_runners.local.problem import LocalProblem
from job_runners.local.stack_api import signer, stack_api

TEXTERS = ("ada", "grace", "linus")
FIRST_EACH = 4  # contacts of each texter that are texted first
FIRST = FIRST_EACH * len(TEXTERS)
TEXT = "Hi {first_name}, polls close at 8."

_TIMEOUT_SECONDS = 60


def run_pipeline(stack: Stack, contacts: int, begin: Callable[[str], None]) -> list[Check]:
    """Run every job of the sample's campaign after the import, and return their counts.

    `begin` gets each step as it begins. Raises LocalProblem if a job does not succeed.
    """
    api = stack_api(stack)
    begin(f"Assigning {FIRST} contacts to {len(TEXTERS)} texters")
    checks = _assign(api, "first", {"max_contacts": FIRST_EACH}, kept=0, contacts=FIRST)
    begin("Texting them")
    checks += _text(api, stack)
    begin("Assigning the others evenly")
    checks += _assign(api, "then", {}, kept=FIRST, contacts=contacts)
    begin("Exporting the contacts")
    return checks + _export(api, contacts)


def _assign(
    api: HttpApi, when: str, limit: dict[str, int], *, kept: int, contacts: int
) -> list[Check]:
    """Assign contacts to the texters. `limit` is added to the request of each texter.

    Afterwards, they should have `contacts` contacts in total. They had `kept` of them before.
    """
    texters = [{"id": texter, **limit} for texter in TEXTERS]
    result = _result(api, "assign_texters", {"texters": texters})
    each = {name: sum(counts.values()) for name, counts in result["texters"].items()}
    return [
        Check(f"{when} assigned", result["assigned"], contacts - kept),
        Check("  kept from before", result["kept"], kept),
        Check(f"  {', '.join(TEXTERS)}", _values(each), _values(_shares(contacts))),
    ]


def _text(api: HttpApi, stack: Stack) -> list[Check]:
    before = _texts(stack)
    result = _result(api, "send_first_messages", {"text": TEXT})
    times = Counter((_texts(stack) - before).values())
    return [
        Check("messages sent", result["sent"], FIRST),
        Check("  people texted once", times[1], FIRST),
        Check("  texted more than once", times.total() - times[1], 0),
        Check("  contacts marked as sent", _statuses(stack)["sent"], FIRST),
    ]


def _export(api: HttpApi, contacts: int) -> list[Check]:
    rows = _download(_result(api, "export_contacts", {})["url"])
    texters = Counter(row["texter"] for row in rows)
    statuses = Counter(row["message_status"] for row in rows)
    return [
        Check("rows exported", len(rows), contacts),
        Check(f"  {', '.join(TEXTERS)}", _values(texters), _values(_shares(contacts))),
        Check("  sent", statuses["sent"], FIRST),
        Check("  needs_message", statuses["needs_message"], contacts - FIRST),
    ]


def _shares(contacts: int) -> dict[str, int]:
    """Return each texter's number of contacts in an even split. The first ones get the
    remainder."""
    each, over = divmod(contacts, len(TEXTERS))
    return {texter: each + (index < over) for index, texter in enumerate(TEXTERS)}


def _values(counts: dict[str, int]) -> str:
    return ", ".join(str(count) for _, count in sorted(counts.items()))


def _result(api: HttpApi, job_type: str, payload: dict[str, Any]) -> dict[str, Any]:
    job = run_job(api, job_type, payload)
    if job["status"] != "succeeded":
        raise LocalProblem(f"The job {job_type} is {job['status']}: {job.get('error')}")
    result: dict[str, Any] = job["result"]
    return result


def texts(stack: Stack) -> dict[str, list[dict[str, Any]]]:
    """Return the texts that the local AWS was asked to send, by phone number."""
    answer = HttpApi(stack.endpoint_url, signer(stack)).get("/_ministack/sns/sms-messages")
    sent: dict[str, list[dict[str, Any]]] = answer.json["sms_messages"]
    return sent


def _texts(stack: Stack) -> Counter[str]:
    return Counter({number: len(records) for number, records in texts(stack).items()})


def _statuses(stack: Stack) -> Counter[str]:
    """Count the first messages of the campaign by status, from the contacts table."""
    dynamodb = session(stack).client("dynamodb", endpoint_url=stack.endpoint_url)
    pages = dynamodb.get_paginator("query").paginate(
        TableName=stack.contacts_table_name,
        KeyConditionExpression="organization_campaign = :campaign",
        FilterExpression="attribute_exists(message_status)",
        ProjectionExpression="message_status",
        ExpressionAttributeValues={":campaign": {"S": f"{ORGANIZATION}#{CAMPAIGN}"}},
    )
    return Counter(item["message_status"]["S"] for page in pages for item in page["Items"])


def _download(url: str) -> list[dict[str, str]]:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
        return list(csv.DictReader(io.StringIO(response.read().decode(), newline="")))
