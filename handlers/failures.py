"""The failures Lambda: records of events that Lambda gave up on, each settled or kept."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import handlers
import runners
from errors import SendInDoubt
from runners import telemetry
from runners.failure_records import settle

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


def handler(event: Mapping[str, Any], context: "LambdaContext") -> dict[str, Any]:  # noqa: ARG001
    """Settle a batch of records. One that can't be settled goes back to the queue, and after a few
    tries to its dead letters, where it is kept."""
    send = runners.sender()
    if send is None:
        raise RuntimeError("the runner that JOB_RUNNER names has no send(): nothing can be settled")
    kept = []
    for record in event["Records"]:
        try:
            settle(json.loads(record["body"]), send)
        except SendInDoubt as error:  # kept, it would be sent again
            telemetry.task_in_doubt(error)
        except Exception as error:  # noqa: BLE001 - one record must not send the others round again
            telemetry.left_for_later(error)
            kept.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": kept}


handlers.loaded()
