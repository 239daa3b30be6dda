"""Print CloudWatch metrics in the embedded metric format, which needs no calls to AWS.

Only Lambda turns the printed lines into metrics, so other processes print none.
`job_runners.engine.telemetry.telemetry` decides which metrics each event changes.
"""

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from job_runners.settings import settings

NAMESPACE = "JobRunners"
# All other metrics are counts.
_METRICS_IN_MS = frozenset({"OccurrenceLate", "OldestInLine", "OldestWait", "QueueWait", "RunTime"})


def emit(dimension: str, name: str, **values: int) -> None:
    """Print a line of metrics about the job type or task with this name.

    `dimension` is "job_type" or "task_name". The service is the only other dimension, because each
    dimension multiplies the cost of metrics.
    """
    _emit({dimension: name}, values)


def emit_total(**values: int) -> None:
    """Print one line of metrics about the whole stack."""
    _emit({}, values)


def _emit(dimensions: dict[str, str], values: dict[str, int]) -> None:
    if not settings().on_lambda:
        return
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    for dimension, name in dimensions.items():
        metrics.add_dimension(dimension, name)
    for metric, value in values.items():
        unit = MetricUnit.Milliseconds if metric in _METRICS_IN_MS else MetricUnit.Count
        metrics.add_metric(metric, unit, value)
    metrics.flush_metrics()
