"""The timer function, which sends due jobs every minute, and the messages of the delay queue."""

import json
from collections.abc import Callable, Mapping
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
# The metric for each disposition of a row, and the field in the log line of a run. Dashboards,
# alarms and log queries use these names, so don't change them.
_NAMES = {
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
_QUARTERS = ("00", "15", "30", "45")  # the minutes whose runs measure how long jobs have waited
# Time that is left at the end of a run for a write and a send in progress.
_MARGIN = 5 * clock.SECOND
# Each row needs a read, a write and an Invoke, which mostly wait for AWS.
_THREADS = 8
# Longer than any send takes, even one that hangs until its timeout. No send starts if less time
# than this is left.
_MAX_SEND_TIME = 20 * clock.SECOND
# With this field in the event, an invocation only starts the due occurrences of one shard's
# schedules.
_SHARD = "start_occurrences_of"


def handler(event: Mapping[str, Any], context: "LambdaContext") -> dict[str, Any] | None:
    """Send the delay queue's messages, or do this minute's run."""
    send = require_sender(runners.sender(), "the timer", "sends the jobs that are due")
    if "Records" in event:
        until = clock.now() + context.get_remaining_time_in_millis() - _MAX_SEND_TIME
        return send_delayed(event["Records"], send, until=until)
    if _SHARD in event:
        from job_runners.engine.schedules import recurring  # many stacks have no schedules

        recurring.start_due(
            send, until=_end_time(context), threads=_THREADS, shards=[event[_SHARD]]
        )
    else:
        tick(context, send)
        minute = str(event.get("time"))[14:16]  # of the time of the run, in ISO 8601
        if minute in _QUARTERS:
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

    A message that can't be sent, or not in time, goes back to the queue. If that happens
    repeatedly, SQS moves it to the dead-letter queue. Stop before Lambda ends the invocation,
    because then all messages would go back, even those already sent.
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
    result = timer.tick(
        send, until=_end_time(context), threads=_THREADS, delegate=_delegate(context)
    )
    _add_metrics(result)
    _log(result)


def _add_metrics(result: TickResult) -> None:
    metrics.add_metric("TimerLag", MetricUnit.Milliseconds, result.lag)
    metrics.add_metric("TimerSendFailures", MetricUnit.Count, result.send_failures)
    metrics.add_metric("TimerUnclaimed", MetricUnit.Count, result.unclaimed)
    for disposition, (metric, _) in _NAMES.items():
        if count := result.counts[disposition]:  # CloudWatch bills each hour with a value
            metrics.add_metric(metric, MetricUnit.Count, count)


def _log(result: TickResult) -> None:
    counts = {_NAMES[disposition][1]: count for disposition, count in result.counts.items()}
    counts |= {f"schedules_{outcome}": count for outcome, count in result.schedules.items()}
    telemetry.logger.info("tick", extra={"lag_ms": result.lag, **counts})


def _end_time(context: "LambdaContext") -> int:
    return clock.now() + context.get_remaining_time_in_millis() - _MARGIN


def _delegate(context: "LambdaContext") -> Callable[[str], None]:
    """Return a function that makes another invocation start the due occurrences of a shard."""

    def delegate(shard: str) -> None:
        response = clients.client("lambda").invoke(
            FunctionName=context.invoked_function_arn,
            InvocationType="Event",
            Payload=json.dumps({_SHARD: shard}),
        )
        response["Payload"].read()  # so that the connection can be used again

    return delegate


handlers.finish_loading()
