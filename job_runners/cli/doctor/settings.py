"""Check that the functions' settings and code agree with each other and with the stack."""

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from job_runners.cli.doctor.check import Issue, Verdict
from job_runners.cli.doctor.deployed import ALIAS, WORKER, Deployed

# They return no data, except to a caller that has a link.
_OPEN_ROUTES = frozenset(
    {
        "GET /",
        "GET /assets/{proxy+}",
        "GET /health",
        "GET /answers/{token}",
        "POST /answers/{token}",
    }
)
_AUTHORIZATION = {"iam": "AWS_IAM", "jwt": "JWT"}
_LAMBDA_RUNNER = "lambda-async"
_WAITING_DAYS = 31  # days that a job may wait before it starts, on top of its retention
_DEPLOY = "job-runners deploy gives all functions the same settings."


def settings(deployed: Deployed) -> Iterator[Issue]:
    """Check that the functions' environment variables agree with each other and the stack."""
    variables = {
        name: each.get("Environment", {}).get("Variables", {})
        for name, each in deployed.functions.items()
        if name not in deployed.classes or name in deployed.run_jobs
    }
    yield from _different(variables)
    yield from _wrong_names(deployed, variables)
    yield from _runners(variables)
    yield from _access(deployed, variables)
    if not deployed.stack.is_local:  # the local AWS drops lifecycles
        yield from _retention(deployed, variables)


def _different(variables: dict[str, dict[str, str]]) -> Iterator[Issue]:
    for name in sorted({name for each in variables.values() for name in each} - {"WORKER_CLASS"}):
        values = {function: each[name] for function, each in variables.items() if name in each}
        if len(set(values.values())) > 1:
            listing = ", ".join(f"{value or 'nothing'} in {key}" for key, value in values.items())
            yield Issue(f"{name} differs: {listing}.", _DEPLOY)


def _wrong_names(deployed: Deployed, variables: dict[str, dict[str, str]]) -> Iterator[Issue]:
    stack = deployed.stack
    expected = {
        "WORKER_LAMBDA_FUNCTION_NAME": stack.worker_function_arn,
        "JOBS_TABLE_NAME": stack.table_name,
        "COORDINATION_TABLE_NAME": stack.coordination_table_name,
        "BUCKET_NAME": stack.bucket_name,
        "DELAY_QUEUE_URL": stack.delay_queue_url,
    }
    for function, environment in variables.items():
        for name, value in expected.items():
            if environment.get(name, value) != value:
                yield Issue(
                    f"{name} of {function} is {environment[name] or 'empty'}, but this stack has "
                    f"{value or 'none'}.",
                    _DEPLOY,
                )
        if environment.get("AWS_ENDPOINT_URL") and not stack.is_local:
            yield Issue(
                f"{function} sends its AWS calls to {environment['AWS_ENDPOINT_URL']}.",
                "Deploy without AwsEndpointUrl.",
            )


def _runners(variables: dict[str, dict[str, str]]) -> Iterator[Issue]:
    for function, environment in variables.items():
        runner = environment.get("JOB_RUNNER") or "legacy"
        if runner == "legacy" and environment.get("API_RUNS_WORK") != "true":
            yield Issue(
                f"{function} runs jobs itself (JOB_RUNNER is legacy), but Lambda freezes it after "
                "its response.",
                "Set JOB_RUNNER=lambda-async: " + _DEPLOY,
            )
        elif runner not in ("legacy", _LAMBDA_RUNNER) and "." not in runner:
            yield Issue(
                f"JOB_RUNNER of {function} is {runner}, which isn't a built-in runner, so it can't "
                "run jobs.",
                "Deploy with JobRunner=lambda-async, or with a module of your own, such as "
                "acme.runner.",
            )
    for runner in sorted({each.get("JOB_RUNNER", "") for each in variables.values()}):
        if "." in runner:
            yield Issue(
                f"Jobs are sent by {runner}, a runner of your own. Its delivery and its retries "
                "can't be checked here.",
                "Check that only Job Runners repeats a message that a worker has received, that "
                "dead letters raise an alarm, and that jobs reach the worker.",
                Verdict.UNKNOWN,
            )


def _access(deployed: Deployed, variables: dict[str, dict[str, str]]) -> Iterator[Issue]:
    mode = variables["ApiFunction"].get("ACCESS_MODE") or "iam"
    pages = deployed.client("apigatewayv2").get_paginator("get_routes")
    for page in pages.paginate(ApiId=deployed.id("HttpApi")):
        for route in page["Items"]:
            authorization = route.get("AuthorizationType", "NONE")
            if route["RouteKey"] in _OPEN_ROUTES or authorization == _AUTHORIZATION.get(mode):
                continue
            yield Issue(
                f"The route {route['RouteKey']} requires {authorization}, but ACCESS_MODE is "
                f"{mode}.",
                "Run job-runners deploy. JwtIssuer sets both.",
            )


def _retention(deployed: Deployed, variables: dict[str, dict[str, str]]) -> Iterator[Issue]:
    days = int(variables[WORKER].get("RETENTION_DAYS") or 30)
    client = deployed.client("s3")
    try:
        answer = client.get_bucket_lifecycle_configuration(Bucket=deployed.stack.bucket_name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchLifecycleConfiguration":
            raise
        return  # nothing is ever deleted
    for rule in answer["Rules"]:
        prefix = rule.get("Prefix") or rule.get("Filter", {}).get("Prefix", "")
        days_kept = rule.get("Expiration", {}).get("Days")
        if rule["Status"] == "Enabled" and days_kept and days_kept < days + _WAITING_DAYS:
            yield Issue(
                f"The bucket deletes {prefix or 'objects'} after {days_kept} days, but rows that "
                f"need them live up to {days + _WAITING_DAYS} days (RETENTION_DAYS is {days}).",
                "Lower RetentionDays, or raise the days in the lifecycle rule.",
            )


def code(deployed: Deployed) -> Iterator[Issue]:
    """Check that all functions run the same code, and that the alias runs the newest version."""
    client = deployed.client("lambda")
    for worker in (WORKER, *deployed.classes):
        alias = client.get_alias(FunctionName=deployed.id(worker), Name=ALIAS)
        if not (weights := alias.get("RoutingConfig", {}).get("AdditionalVersionWeights")):
            continue
        shares = ", ".join(f"version {each} gets {share:.0%}" for each, share in weights.items())
        yield Issue(
            f"A canary deploy is in progress: {shares} of the worker's invocations.",
            "Run job-runners doctor again when it has finished. CodeDeploy's console shows its "
            "progress.",
            Verdict.UNKNOWN,
        )
        return
    for name, read in (("code", _digest), ("runtime", _runtime)):
        values = {function: read(each) for function, each in deployed.functions.items()}
        if len(set(values.values())) > 1:
            listing = ", ".join(f"{function} {value}" for function, value in values.items())
            yield Issue(
                f"The {name} of the functions differs: {listing}.",
                "A deploy was interrupted, or a function was changed manually. "
                "Run job-runners deploy.",
            )
    for worker in (WORKER, *deployed.classes):
        newest = client.get_function_configuration(FunctionName=deployed.id(worker))
        live = deployed.functions[worker]
        if _digest(newest) != _digest(live):
            yield Issue(
                f"The alias {ALIAS} of {worker} runs version {live['Version']}, not the newest "
                "code.",
                "If you didn't roll back, run job-runners deploy.",
            )


def _digest(function: dict[str, Any]) -> str:
    return str(function["CodeSha256"])[:12]


def _runtime(function: dict[str, Any]) -> str:
    return f"{function['Runtime']} on {', '.join(function['Architectures'])}"
