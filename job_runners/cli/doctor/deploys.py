"""Check that the last deploy is complete, and that nothing was changed manually since."""

from collections.abc import Iterator
from typing import Any

from job_runners.cli.doctor.check import Issue, Verdict
from job_runners.cli.doctor.deployed import ALIAS, WORKER, Deployed


def check_drift(deployed: Deployed) -> Iterator[Issue]:
    """Check what CloudFormation's latest drift detection found. This starts no new detection.

    A stack has drifted if its resources were changed manually since the deploy.
    """
    status = deployed.description.get("DriftInformation", {}).get("StackDriftStatus")
    if status == "DRIFTED":
        yield Issue(
            "Resources of the stack differ from its template, so they were changed manually.",
            "To list the changes: aws cloudformation describe-stack-resource-drifts "
            f"--stack-name {deployed.stack.name}",
            Verdict.ADVICE,
        )
    elif status != "IN_SYNC":
        yield Issue(
            "CloudFormation hasn't looked for manual changes yet.",
            "To let it look, for some minutes: aws cloudformation detect-stack-drift "
            f"--stack-name {deployed.stack.name}",
            Verdict.UNKNOWN,
        )


def check_code(deployed: Deployed) -> Iterator[Issue]:
    """Check that all functions run the same code, and that the alias runs the newest version.

    During a canary deploy, the alias runs two versions. Then report only the deploy.
    """
    client = deployed.client("lambda")
    for worker in (WORKER, *deployed.worker_classes):
        alias = client.get_alias(FunctionName=deployed.physical_id(worker), Name=ALIAS)
        weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights")
        if not weights:
            continue
        shares = ", ".join(
            f"version {version} gets {share:.0%}" for version, share in weights.items()
        )
        yield Issue(
            f"A canary deploy is in progress: {shares} of the worker's invocations.",
            "Run job-runners doctor again when it has finished. CodeDeploy's console shows its "
            "progress.",
            Verdict.UNKNOWN,
        )
        return
    for name, get_value in (("code", _digest), ("runtime", _runtime)):
        values = {
            function: get_value(configuration)
            for function, configuration in deployed.functions.items()
        }
        if len(set(values.values())) > 1:
            listing = ", ".join(f"{function} {value}" for function, value in values.items())
            yield Issue(
                f"The {name} of the functions differs: {listing}.",
                "A deploy was interrupted, or a function was changed manually. "
                "Run job-runners deploy.",
            )
    for worker in (WORKER, *deployed.worker_classes):
        newest = client.get_function_configuration(FunctionName=deployed.physical_id(worker))
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
