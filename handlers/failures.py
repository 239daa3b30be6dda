"""The failures function, which handles the records of events that Lambda gave up on."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from job_runners import handlers, runners
from job_runners.engine.running.failure_records import handle_record
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.sending import require_sender
from job_runners.errors import SendInDoubt

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def handler(event: Mapping[str, Any], context: "LambdaContext") -> dict[str, Any]:  # noqa: ARG001
    """Handle a batch of records.

    A record that can't be handled goes back to the queue. After some tries, SQS moves it to the
    dead-letter queue.
    """
    send = require_sender(runners.sender(), "the failures function", "sends lost work again")
    failures = []
    for record in event["Records"]:
        try:
            handle_record(json.loads(record["body"]), send)
        except SendInDoubt as error:  # don't try again, because that might send the task twice
            telemetry.task_in_doubt(error)
        except Exception as error:  # noqa: BLE001 - one record must not affect the others
            telemetry.left_for_later(error)
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


handlers.finish_loading()
