"""Describe a run of smoke for others: where it ran, how long work took, and what AWS counted."""

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
# For each price, the CloudWatch metric that counts its units, and the resources that it is about.
_COUNTED = {
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


def report(work: Work, findings: Sequence[Finding], began: datetime, build: str) -> dict[str, Any]:
    """Return what ran, and its times and costs, as JSON. `build` is the id of the deployed code.

    CloudWatch has counted most of the run by now. Its numbers for the last minutes may be missing.
    """
    target = work.target
    caller = target.client("sts").get_caller_identity()
    counted = _counted(Deployed(target), began)
    return {
        "version": __version__,
        "build": build,
        "account": caller["Account"],
        "region": target.stack.region,
        "stack": target.stack.name,
        "began_at": began.isoformat(timespec="seconds"),
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "findings": [each.as_json() for each in findings],
        "jobs": [_times(work, check, job_id) for check, job_id in _jobs(work)],
        "counted": counted,
        "dollars": sum(count * _PRICES[name] for name, count in counted.items()),
        "prices": "us-east-1, 2026-11-26",
    }


def _jobs(work: Work) -> list[tuple[str, str]]:
    return [(check, job_id) for check, job_id in work.ids.items() if job_id and check != "task"]


def _times(work: Work, check: str, job_id: str) -> dict[str, Any]:
    """Return how long a job waited and ran, and the milliseconds that Lambda billed for it."""
    job = work.target.shown(work.target.api.get(job_id))
    lines = Logs.around(work.target, job).about(job_id)
    metrics = [each.fields["record"]["metrics"] for each in lines if each.is_report]
    return {
        "check": check,
        "status": job["status"],
        "attempt": job["attempt"],
        "invocations": job["invocations"],
        "seconds_to_start": _seconds(job, "created_at", "started_at"),
        "seconds_to_finish": _seconds(job, "created_at", "finished_at"),
        "billed_ms": sum(each.get("billedDurationMs", 0) for each in metrics),
    }


def _seconds(job: Job, first: str, last: str) -> float | None:
    if not job.get(first) or not job.get(last):
        return None
    passed = datetime.fromisoformat(job[last]) - datetime.fromisoformat(job[first])
    return round(passed.total_seconds(), 3)


def _counted(deployed: Deployed, began: datetime) -> dict[str, float]:
    """Return how many units of each price AWS has counted since then."""
    count: Callable[..., float] = partial(_sum, deployed.client("cloudwatch"), began)
    counted = {
        price: sum((count(*metric, each) for each in deployed.of_type(kind).values()), 0.0)
        for price, (*metric, kind) in _COUNTED.items()
    }
    for function in deployed.of_type("AWS::Lambda::Function").values():
        settings = deployed.client("lambda").get_function_configuration(FunctionName=function)
        price = f"lambda_gb_second_{settings['Architectures'][0]}"
        seconds = count("AWS/Lambda", "Duration", "FunctionName", function) / 1000
        counted[price] = counted.get(price, 0) + seconds * settings["MemorySize"] / 1024
    return counted


def _sum(
    cloudwatch: Any, began: datetime, namespace: str, metric: str, dimension: str, resource: str
) -> float:
    found = cloudwatch.get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": dimension, "Value": resource}],
        StartTime=began,
        EndTime=datetime.now(UTC),
        Period=3600,
        Statistics=["Sum"],
    )
    return sum(float(each["Sum"]) for each in found["Datapoints"])
