"""Write CloudWatch metrics in the embedded metric format: as lines on standard output.

They cost no call to AWS. Metrics are written only on Lambda, because nothing reads such lines
elsewhere. `job_runners.engine.telemetry.telemetry` decides which metrics each event changes.
"""

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from job_runners.settings import settings

NAMESPACE = "JobRunners"
# The metrics in milliseconds. All others are counts.
_TIMES = frozenset({"OccurrenceLate", "OldestInLine", "OldestWait", "QueueWait", "RunTime"})


def emit(kind: str, name: str, **values: int) -> None:
    """Print a line of metrics about a job type or task.

    `kind` is the name of the dimension, and `name` is its value. The service is the only other
    dimension, because each dimension multiplies the cost of metrics.
    """
    _emit({kind: name}, values)


def emit_total(**values: int) -> None:
    """Print one line of metrics about the whole stack."""
    _emit({}, values)


def _emit(dimensions: dict[str, str], values: dict[str, int]) -> None:
    if not settings().on_lambda:
        return
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    for kind, name in dimensions.items():
        metrics.add_dimension(kind, name)
    for metric, value in values.items():
        unit = MetricUnit.Milliseconds if metric in _TIMES else MetricUnit.Count
        metrics.add_metric(metric, unit, value)
    metrics.flush_metrics()
