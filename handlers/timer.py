"""The timer function. It sends due jobs every minute, and the delay queue's messages."""

import json
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from job_runners import clock, handlers, runners
from job_runners.aws import clients
from job_runners.engine.telemetry import telemetry
from job_runners.engine.telemetry.metrics import NAMESPACE
from job_runners.engine.tick import timer
from job_runners.engine.tick.timer import Disposition, TickResult
from job_runners.engine.wire.messages import decode
from job_runners.engine.wire.sending import Send, require_sender
from job_runners.errors import SendInDoubt

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

metrics = Metrics(namespace=NAMESPACE)
# For each outcome of a due row, the name of a metric, and the name of a field in the log line of a
# run. Dashboards, alarms and log queries use these names, so don't change them.
_METRICS_AND_FIELDS = {
    Disposition.SENT: ("TimerSent", "sent"),
    Disposition.DEFERRED: ("TimerDeferred", "deferred"),
    Disposition.HELD: ("TimerWaiting", "waiting"),
    Disposition.ADMITTED: ("TimerAdmitted", "admitted"),
    Disposition.LEASED: ("TimerLeased", "leased"),
    Disposition.RESCUED: ("TimerRescued", "rescued"),
    Disposition.EARLY: ("TimerEarly", "early"),
    Disposition.UNKNOWN: ("TimerUnknown", "unknown"),
    Disposition.EXPIRED: ("TimerExpired", "expired"),
    Disposition.BROKEN: ("TimerBroken", "broken"),
    Disposition.MOVED: ("TimerMoved", "moved"),
}
# The minutes whose runs also measure how long jobs have waited.
_MEASURING_MINUTES = ("00", "15", "30", "45")
# A run stops this long before Lambda ends it, so that writes and sends in progress can end.
_MARGIN = 5 * clock.SECOND
# Each row needs a read, a write and an Invoke, which mostly wait for AWS.
_THREADS = 8
# Longer than any send takes, even one that hangs until its timeout. A delayed message isn't sent
# if less time than this is left.
_MAX_SEND_TIME = 20 * clock.SECOND
# The field of an event for an invocation that only starts due occurrences of schedules. Its value
# names the shard of these schedules.
_SHARD_FIELD = "start_occurrences_of"


def handler(event: Mapping[str, Any], context: "LambdaContext") -> dict[str, Any] | None:
    """Send messages of the delay queue, start due occurrences, or do this minute's run."""
    send = require_sender(runners.sender(), "the timer", "sends the jobs that are due")
    if "Records" in event:
        until = clock.now() + context.get_remaining_time_in_millis() - _MAX_SEND_TIME
        return send_delayed(event["Records"], send, until=until)
    until = _end_time(context)
    if _SHARD_FIELD in event:
        from job_runners.engine.schedules import recurring  # many stacks have no schedules

        recurring.start_due(send, until=until, threads=_THREADS, shards=[event[_SHARD_FIELD]])
    else:
        tick(context, send)
        scheduled_at = str(event.get("time"))  # in ISO 8601
        if scheduled_at[14:16] in _MEASURING_MINUTES:  # these two characters are the minute
            _measure_waits()
    return None


def _measure_waits() -> None:
    from job_runners.engine.tick import oldest_wait  # imported here because few runs need it

    try:
        oldest_wait.measure()
    except Exception as error:  # noqa: BLE001 - the run itself succeeded
        telemetry.crashed(error)


def send_delayed(records: list[dict[str, Any]], send: Send, *, until: int) -> dict[str, Any]:
    """Send delayed messages until `until` (milliseconds since 1970).

    A message that can't be sent in time goes back to the queue. If that happens repeatedly, SQS
    moves it to the dead-letter queue. `until` must be before the end of the invocation. If Lambda
    ended the invocation first, all messages would go back, even those that were already sent.
    """
    failures = []
    for record in records:
        try:
            if clock.now() >= until:
                raise TimeoutError("The messages before this one took all the time.")
            send(decode(record["body"]))
        except SendInDoubt as error:  # don't return it to the queue, as it would be sent again
            telemetry.task_in_doubt(error)
        except Exception as error:  # noqa: BLE001 - one message must not affect the others
            telemetry.left_for_later(error)
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


@metrics.log_metrics
def tick(context: "LambdaContext", send: Send) -> None:
    """Process due rows until this invocation's time is nearly over, and count the outcomes."""
    start_occurrences = partial(_invoke_for_shard, context.invoked_function_arn)
    result = timer.tick(
        send, until=_end_time(context), threads=_THREADS, delegate=start_occurrences
    )
    _add_metrics(result)
    _log(result)


def _add_metrics(result: TickResult) -> None:
    metrics.add_metric("TimerLag", MetricUnit.Milliseconds, result.lag)
    metrics.add_metric("TimerSendFailures", MetricUnit.Count, result.send_failures)
    metrics.add_metric("TimerUnclaimed", MetricUnit.Count, result.unclaimed)
    for disposition, (metric, _) in _METRICS_AND_FIELDS.items():
        count = result.counts[disposition]
        if count:  # CloudWatch bills a metric for each hour in which it has a value, even 0
            metrics.add_metric(metric, MetricUnit.Count, count)


def _log(result: TickResult) -> None:
    fields = {"lag_ms": result.lag}
    for disposition, count in result.counts.items():
        _, field = _METRICS_AND_FIELDS[disposition]
        fields[field] = count
    for outcome, count in result.schedules.items():
        fields[f"schedules_{outcome}"] = count
    telemetry.logger.info("tick", extra=fields)


def _invoke_for_shard(function: str, shard: str) -> None:
    """Invoke this function again to start the due occurrences of a shard's schedules."""
    response = clients.client("lambda").invoke(
        FunctionName=function, InvocationType="Event", Payload=json.dumps({_SHARD_FIELD: shard})
    )
    response["Payload"].read()  # so that the connection can be used again


def _end_time(context: "LambdaContext") -> int:
    return clock.now() + context.get_remaining_time_in_millis() - _MARGIN


handlers.finish_loading()
