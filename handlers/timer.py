"""The timer Lambda: messages whose delay is over go on to the worker; every minute, what is due."""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

import clock
import handlers
import runners
from aws import clients
from errors import SendInDoubt
from runners import recurring, telemetry, timer
from runners.messages import decode
from runners.metrics import NAMESPACE
from runners.sending import Send

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

metrics = Metrics(namespace=NAMESPACE)
# Time reserved at the end of a tick, for the write and the send that it may be in the middle of.
_MARGIN = 5 * clock.SECOND
# Each row costs a read, a write and an Invoke, which is mostly waiting.
_THREADS = 8
# Longer than the longest send, one that hangs: no send begins with less time left than this.
_LONGEST_SEND = 20 * clock.SECOND
# Of an event with which a tick has another process of this function start a shard's occurrences.
# Code that does not know it does a tick instead, which starts them as well.
_SHARD = "start_occurrences_of"


def handler(event: Mapping[str, Any], context: "LambdaContext") -> dict[str, Any] | None:
    """Send the delay queue's messages on, or do the tick of this minute."""
    send = runners.sender()
    if send is None:
        raise RuntimeError("the runner that JOB_RUNNER names has no send(): nothing to time")
    if "Records" in event:
        until = clock.now() + context.get_remaining_time_in_millis() - _LONGEST_SEND
        return send_delayed(event["Records"], send, until=until)
    if _SHARD in event:
        recurring.start_due(send, until=_ends(context), threads=_THREADS, only=[event[_SHARD]])
    else:
        tick(context, send)
    return None


def send_delayed(records: list[dict[str, Any]], send: Send, *, until: int) -> dict[str, Any]:
    """Send what has waited long enough, for as long as it is before `until` (milliseconds since
    1970). What can't be sent, or not in time, goes back to the queue, and in the end to its dead
    letters. If this function were cut off, all would go back, those too that were sent."""
    failures = []
    for record in records:
        try:
            if clock.now() >= until:
                raise TimeoutError("the messages before it took all the time there is")
            send(decode(record["body"]))
        except SendInDoubt as error:  # gone back, it would be sent again
            telemetry.task_in_doubt(error)
        except Exception as error:  # noqa: BLE001 - one must not send the others round again
            telemetry.left_for_later(error)
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


@metrics.log_metrics
def tick(context: "LambdaContext", send: Send) -> None:
    """Process what is due, for as long as this invocation has."""
    result = timer.tick(send, until=_ends(context), threads=_THREADS, share=_share(context))
    metrics.add_metric("TimerLag", MetricUnit.Milliseconds, result.lag)
    metrics.add_metric("TimerSendFailures", MetricUnit.Count, result.send_failures)
    metrics.add_metric("TimerUnclaimed", MetricUnit.Count, result.unclaimed)
    for disposition in timer.Disposition:
        name = "Timer" + disposition.title().replace(" ", "")
        metrics.add_metric(name, MetricUnit.Count, result.counts[disposition])
    counts = {str(disposition): n for disposition, n in result.counts.items()}
    counts |= {f"schedules_{outcome}": n for outcome, n in result.schedules.items()}
    telemetry.logger.info("tick", extra={"lag_ms": result.lag, **counts})


def _ends(context: "LambdaContext") -> int:
    return clock.now() + context.get_remaining_time_in_millis() - _MARGIN


def _share(context: "LambdaContext") -> Callable[[str], None]:
    """Return what has another process of this function start a shard's occurrences."""

    def share(shard: str) -> None:
        response = clients.client("lambda").invoke(
            FunctionName=context.invoked_function_arn,
            InvocationType="Event",
            Payload=json.dumps({_SHARD: shard}),
        )
        response["Payload"].read()  # else the connection would not be used again

    return share


handlers.loaded()
