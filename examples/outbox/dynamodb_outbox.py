"""An outbox in DynamoDB: a job is dispatched if and only if an item of your table is written."""

import json
import logging
import os
from typing import Any

import boto3

from job_runners import Client, Conflict, InvalidRequest

log = logging.getLogger(__name__)
dynamodb = boto3.client("dynamodb")
client = Client(timeout=10, max_attempts=2)  # JOB_RUNNERS_URL
OUTBOX = os.environ["OUTBOX_TABLE"]


def place_order(order: str, words: str) -> None:
    """Save an order together with its dispatch: both or neither."""
    saved = {"id": {"S": order}, "words": {"S": words}}
    entry = {
        "id": {"S": f"order-{order}"},
        "job_type": {"S": "count_letters"},
        "payload": {"S": json.dumps({"words": words.split()})},
    }
    is_new = "attribute_not_exists(id)"
    dynamodb.transact_write_items(
        TransactItems=[
            {"Put": {"TableName": "orders", "Item": saved, "ConditionExpression": is_new}},
            {"Put": {"TableName": OUTBOX, "Item": entry}},
        ]
    )


def handler(event: dict[str, Any], _context: object) -> None:
    """Send the new entries of the stream. If the schedule calls it, send all entries.

    Raises an error if the schedule calls it and entries are refused.
    """
    if "Records" in event:
        entries = [record["dynamodb"]["NewImage"] for record in event["Records"]]
    else:
        pages = dynamodb.get_paginator("scan").paginate(TableName=OUTBOX, ConsistentRead=True)
        entries = [entry for page in pages for entry in page["Items"]]
    refused = [entry for entry in entries if "refused" in entry]
    for entry in entries:
        if entry not in refused:
            send(entry)
    if refused:
        raise RuntimeError(f"{len(refused)} entries of the outbox are refused")


def send(entry: dict[str, Any]) -> None:
    """Dispatch the job of an entry. If the entry is sent twice, its id prevents a second job."""
    key, job_type, payload = (entry[name]["S"] for name in ("id", "job_type", "payload"))
    try:
        client.dispatch(job_type, json.loads(payload), idempotency_key=key)
    except (InvalidRequest, Conflict, ValueError) as error:  # another try would not help
        log.error("The outbox's entry %s is refused: %s", key, error)
        dynamodb.update_item(
            TableName=OUTBOX,
            Key={"id": {"S": key}},
            UpdateExpression="SET refused = :why",
            ConditionExpression="attribute_exists(id)",
            ExpressionAttributeValues={":why": {"S": str(error)}},
        )
    else:
        dynamodb.delete_item(TableName=OUTBOX, Key={"id": {"S": key}})
