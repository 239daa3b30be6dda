"""Write a report on a run of `job-runners smoke`, which the user can publish.

It says where the command ran, how long its jobs took, and what the run cost. The cost is the
sum of the units that AWS charges for, such as requests, times their prices.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from job_runners import __version__
from job_runners.cli.doctor.check import Finding
from job_runners.cli.doctor.deployed import Deployed
from job_runners.cli.log_lines import Logs
from job_runners.cli.output import Job
from job_runners.cli.smoke.kinds import Work

# Dollars in us-east-1, without the free tier.
_PRICES = {
    "api_request": 1.00e-6,
    "lambda_request": 0.20e-6,
    "lambda_gb_second_arm64": 0.0000133334,
    "lambda_gb_second_x86_64": 0.0000166667,
    "write_unit": 0.625e-6,
    "read_unit": 0.125e-6,
}
# For each price, the CloudWatch metric that counts the units: namespace, name, dimension, and the
# type of the resources that the dimension names.
_METRICS = {
    "api_request": ("AWS/ApiGateway", "Count", "ApiId", "AWS::ApiGatewayV2::Api"),
    "lambda_request": ("AWS/Lambda", "Invocations", "FunctionName", "AWS::Lambda::Function"),
    "write_unit": (
        "AWS/DynamoDB",
        "ConsumedWriteCapacityUnits",
        "TableName",
        "AWS::DynamoDB::Table",
    ),
    "read_unit": (
        "AWS/DynamoDB",
        "ConsumedReadCapacityUnits",
        "TableName",
        "AWS::DynamoDB::Table",
    ),
}


def report(
    work: Work, findings: Sequence[Finding], began_at: datetime, build_id: str
) -> dict[str, Any]:
    """Return the report as JSON. `build_id` is the hash of the deployed code.

    CloudWatch counts with a delay, so the counts may lack the last few minutes.
    """
    target = work.target
    caller = target.client("sts").get_caller_identity()
    unit_counts = _count_units(Deployed(target), began_at)
    return {
        "version": __version__,
        "build": build_id,
        "account": caller["Account"],
        "region": target.stack.region,
        "stack": target.stack.name,
        "began_at": began_at.isoformat(timespec="seconds"),
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "findings": [finding.as_json() for finding in findings],
        "jobs": [_times(work, check, job_id) for check, job_id in _jobs(work)],
        "counted": unit_counts,
        "dollars": sum(count * _PRICES[name] for name, count in unit_counts.items()),
        "prices": "us-east-1, 2026-11-26",
    }


def _jobs(work: Work) -> list[tuple[str, str]]:
    return [(check, job_id) for check, job_id in work.ids.items() if job_id and check != "task"]


def _times(work: Work, check: str, job_id: str) -> dict[str, Any]:
    """Return how long a job waited and ran, and the milliseconds that Lambda billed for it."""
    job = work.target.printable(work.target.api.get(job_id))
    lines = Logs.around(work.target, job).about(job_id)
    metrics = [line.fields["record"]["metrics"] for line in lines if line.is_report]
    return {
        "check": check,
        "status": job["status"],
        "attempt": job["attempt"],
        "invocations": job["invocations"],
        "seconds_to_start": _seconds(job, "created_at", "started_at"),
        "seconds_to_finish": _seconds(job, "created_at", "finished_at"),
        "billed_ms": sum(metric.get("billedDurationMs", 0) for metric in metrics),
    }


def _seconds(job: Job, first: str, last: str) -> float | None:
    if not job.get(first) or not job.get(last):
        return None
    time_between = datetime.fromisoformat(job[last]) - datetime.fromisoformat(job[first])
    return round(time_between.total_seconds(), 3)


def _count_units(deployed: Deployed, began_at: datetime) -> dict[str, float]:
    """Return how many units AWS has counted since the command began, by the key of their price."""
    count: Callable[..., float] = partial(_sum_metric, deployed.client("cloudwatch"), began_at)
    unit_counts: dict[str, float] = {}
    for price, (namespace, metric, dimension, resource_type) in _METRICS.items():
        names = deployed.physical_ids(resource_type).values()
        unit_counts[price] = sum((count(namespace, metric, dimension, name) for name in names), 0.0)
    for function in deployed.physical_ids("AWS::Lambda::Function").values():
        settings = deployed.client("lambda").get_function_configuration(FunctionName=function)
        price = f"lambda_gb_second_{settings['Architectures'][0]}"
        seconds = count("AWS/Lambda", "Duration", "FunctionName", function) / 1000
        gigabyte_seconds = seconds * settings["MemorySize"] / 1024
        unit_counts[price] = unit_counts.get(price, 0) + gigabyte_seconds
    return unit_counts


def _sum_metric(
    cloudwatch: Any, began_at: datetime, namespace: str, metric: str, dimension: str, resource: str
) -> float:
    statistics = cloudwatch.get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": dimension, "Value": resource}],
        StartTime=began_at,
        EndTime=datetime.now(UTC),
        Period=3600,
        Statistics=["Sum"],
    )
    return sum(float(point["Sum"]) for point in statistics["Datapoints"])
