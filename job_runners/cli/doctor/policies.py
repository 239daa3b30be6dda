"""Check that the functions' roles allow only named actions on named resources."""

from collections.abc import Iterator
from typing import Any

from job_runners.cli.doctor.check import Issue
from job_runners.cli.doctor.deployed import Deployed

# AWS's own policies for Lambda, which aren't checked. They allow a function to write logs and
# traces, and to join a VPC.
_MANAGED = frozenset(
    {
        "AWSLambdaBasicExecutionRole",
        "AWSLambdaVPCAccessExecutionRole",
        "AWSXRayDaemonWriteAccess",
        "AWSXrayWriteOnlyAccess",
    }
)
# A statement that allows only these actions may have the resource "*", or all but some resources,
# because phone numbers have no ARN.
_ANY_RESOURCE = frozenset({"sns:Publish"})


def policies(deployed: Deployed) -> Iterator[Issue]:
    """Check every statement of every role."""
    for role in deployed.of_type("AWS::IAM::Role").values():
        for policy, document in _documents(deployed, role):
            for statement in _list(document["Statement"]):
                for what in _too_wide(statement):
                    yield Issue(
                        f"The policy {policy} of the role {role} allows {what}.",
                        "Name the actions and resources that the role needs. To restore the "
                        "template's own policies, run `job-runners deploy`.",
                    )


def _documents(deployed: Deployed, role: str) -> Iterator[tuple[str, dict[str, Any]]]:
    iam = deployed.client("iam")
    for page in iam.get_paginator("list_role_policies").paginate(RoleName=role):
        for name in page["PolicyNames"]:
            yield name, iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=role):
        for each in page["AttachedPolicies"]:
            is_from_aws = each["PolicyArn"].split(":")[4] == "aws"
            if is_from_aws and each["PolicyName"] in _MANAGED:
                continue
            version = iam.get_policy(PolicyArn=each["PolicyArn"])["Policy"]["DefaultVersionId"]
            found = iam.get_policy_version(PolicyArn=each["PolicyArn"], VersionId=version)
            yield each["PolicyName"], found["PolicyVersion"]["Document"]


def _too_wide(statement: dict[str, Any]) -> Iterator[str]:
    if statement["Effect"] != "Allow":
        return
    actions = _list(statement.get("Action", []))
    if actions and set(actions) <= _ANY_RESOURCE:
        return
    for inverse in ("NotAction", "NotResource"):
        if inverse in statement:
            yield f"everything that its {inverse} doesn't list"
    for action in actions:
        if "*" in action:
            yield f"the action {action}"
    for resource in _list(statement.get("Resource", [])):
        # arn:partition:service:region:account:resource
        if resource.split(":", 5)[-1].startswith("*"):
            yield f"{', '.join(actions)} on {resource}"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
