"""The IAM policies for operators, compared with what commands, functions and routes need."""

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest
from botocore.client import BaseClient

from expanded_template import actions, allowed, deployed, of_type, statements
from fake_account import Account
from job_runners.api.routes.table import ROUTES
from job_runners.places import ROOT
from jobs_command import ID, FakeApi, job, jobs
from operator_files import policy, template

Policy = list[dict[str, Any]]

# Operations whose permission has another name.
PERMISSIONS = {
    "monitoring:DescribeAlarms": "cloudwatch:DescribeAlarms",
}
# What the policies that AWS attaches to a function's role allow it.
OF_AWS = {
    *("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"),
    *("xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules"),
    *("ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DeleteNetworkInterface"),
    *("ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses", "ec2:DescribeSubnets"),
}
STACKS: list[dict[str, str]] = [
    {},
    {"JobRunner": "legacy"},
    {"JobRunner": "acme.runner", "WorkQueueName": "work"},
    {"EventBusName": "main", "OutcomeTopicArn": "arn:aws:sns:eu-west-1:123456789012:ends"},
]


def allowed_actions(policy: Policy) -> set[str]:
    return {each for statement in policy for each in actions(statement)}


def allows(policy: Policy, action: str, resource: str) -> bool:
    return any(
        fnmatchcase(action, given) and any(fnmatchcase(resource, each) for each in _listed(within))
        for statement in policy
        for given in actions(statement)
        for within in [statement["Resource"]]
    )


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def read_only() -> Policy:
    return policy("people.yaml", "ReadOnly")


def on_call() -> Policy:
    return policy("people.yaml", "OnCall")


def deploying() -> Policy:
    return policy("deploying.yaml", "DeployPolicy")


@pytest.fixture
def called(account: Account, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the permissions of all calls to AWS, as they are made."""
    names: set[str] = set()
    answer: Any = BaseClient.__dict__["_make_api_call"]

    def call(client: BaseClient, operation: str, given: dict[str, Any]) -> Any:
        service = client.meta.service_model.signing_name
        name = f"{service}:{operation}"
        names.add(PERMISSIONS.get(name, name))
        return answer(client, operation, given)

    monkeypatch.setattr(BaseClient, "_make_api_call", call)
    return names


def test_the_read_only_policy_has_what_logs_and_doctor_call_and_no_more(
    api: FakeApi, account: Account, called: set[str]
) -> None:
    row = {"due_shard": {"S": "resent-0"}, "due_at": {"N": "1"}, "status": {"S": "running"}}
    account.waiting = [row | {"id": {"S": ID}}]  # doctor reads the rows of unclaimed jobs
    api.on("GET", f"/jobs/{ID}", 200, job("succeeded"))
    for words in (("logs", ID), ("doctor",)):
        assert jobs(*words).exit_code in (0, 1)
    for_queries = {"logs:DescribeLogGroups", "logs:StartQuery", "logs:GetQueryResults"}
    others = allowed_actions(read_only()) - for_queries
    assert {each for each in others if "execute-api" not in each} == called


def requests() -> Iterator[tuple[str, str]]:
    """Yield the method and path of each route."""
    for path, methods in ROUTES.items():
        for method in methods:
            yield method, re.sub(r"<\w+>", "x", path)


def test_the_read_only_policy_allows_every_get_and_nothing_else() -> None:
    for method, path in requests():
        assert may_request(read_only(), method, path) == (method == "GET"), path


def may_request(policy: Policy, method: str, path: str) -> bool:
    address = f"arn:aws:execute-api:REGION:ACCOUNT:API/$default/{method}{path}"
    return allows(policy, "execute-api:Invoke", address)


def test_a_person_on_call_can_not_dispatch_delete_or_change_what_lasts() -> None:
    both = read_only() + on_call()
    refused = {
        f"{method} {path}" for method, path in requests() if not may_request(both, method, path)
    }
    assert refused == {
        *("POST /jobs", "POST /jobs/bulk", "POST /batches", "POST /tasks", "DELETE /jobs/x"),
        *("PUT /schedules/x", "DELETE /schedules/x", "POST /answers/x"),  # open to all
        *("PUT /webhooks/x", "DELETE /webhooks/x", "POST /webhooks/x/test"),
        "PUT /uploads/x",
    }
    needed = {"sqs:ReceiveMessage", "sqs:SendMessage", "sqs:DeleteMessage"}
    assert allowed_actions(on_call()) == needed | {"execute-api:Invoke"}


@pytest.mark.parametrize("given", STACKS, ids=str)
def test_the_boundary_allows_what_the_functions_need(given: dict[str, str]) -> None:
    boundary = policy("deploying.yaml", "Boundary")
    needed = _function_actions(given)
    refused = {each for each in needed | OF_AWS if not allows(boundary, each, "any")}
    assert refused == set()


def test_with_a_boundary_a_deploy_can_not_make_a_role_without_it() -> None:
    (bound,) = (each for each in deploying() if "Condition" in each)
    others = allowed_actions([each for each in deploying() if "Condition" not in each])
    makes_powerful = {
        *("iam:AttachRolePolicy", "iam:CreateRole", "iam:PutRolePolicy"),
        "iam:PutRolePermissionsBoundary",
    }
    assert makes_powerful <= set(actions(bound))
    assert bound["Condition"]["StringEquals"] == {"iam:PermissionsBoundary": "Boundary"}
    assert not makes_powerful & others
    assert "iam:DeleteRolePermissionsBoundary" not in allowed_actions(deploying())
    canary = of_type(deployed(WorkerCanary="Canary10Percent5Minutes"), "AWS::IAM::Role")
    assert "PermissionsBoundary" not in canary["CodeDeployServiceRole"]["Properties"]


def test_a_deploy_can_not_change_its_own_role() -> None:
    name = template("deploying.yaml")["Resources"]["DeployRole"]["Properties"]["RoleName"]
    assert name == "deploy-STACK"
    assert not allows(deploying(), "iam:PutRolePolicy", f"arn:aws:iam::ACCOUNT:role/{name}")
    assert allows(deploying(), "iam:PutRolePolicy", "arn:aws:iam::ACCOUNT:role/STACK-Worker")


def test_the_page_names_every_service_of_functions_deploys_and_commands() -> None:
    page = (ROOT / "docs/operate/permissions.md").read_text()
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|(.*)\|(.*)\|(.*)\|$", page, re.MULTILINE)
    by_functions, by_deploys, by_commands = (
        {row[0] for row in rows if row[column].strip()} for column in (1, 2, 3)
    )
    needed = OF_AWS | {one for given in STACKS for one in _function_actions(given)}
    assert by_functions == _services(needed)
    assert by_deploys == _services(allowed_actions(deploying())) | {"sts"}
    assert by_commands >= _services(allowed_actions(read_only() + on_call()))


def test_a_vpc_without_internet_has_an_endpoint_for_every_service_that_the_worker_calls() -> None:
    page = (ROOT / "docs/operate/permissions.md").read_text()
    section = page.partition("## A VPC\n")[2].partition("\n## ")[0]
    shown = set(
        re.findall(r"^\| (?:.*\(`)?(\w+)(?:`\))? \| (?:gateway|interface)", section, re.MULTILINE)
    )
    called = {
        action for given in STACKS for action, _ in allowed(deployed(**given), "WorkerFunction")
    }
    assert {each.lower() for each in shown} == _services(called)


def _function_actions(given: dict[str, str]) -> set[str]:
    return {each for one in statements(deployed(**given)) for each in actions(one)}


def _services(allowed: Iterable[str]) -> set[str]:
    return {each.partition(":")[0] for each in allowed}


FOLDERS = {"Reads": {"s3:GetObject"}, "Writes": {"s3:PutObject"}, "Deletes": {"s3:DeleteObject"}}


@pytest.mark.parametrize("name", ["API", "worker", "timer", "failures"])
def test_the_page_says_which_files_each_function_may_use(name: str) -> None:
    page = (ROOT / "docs/operate/access.md").read_text()
    (row,) = re.findall(rf"^\| {name} \|(.*)\|$", page, re.MULTILINE)
    shown = [set(re.findall(r"`([a-z]+)/`", cell)) for cell in row.split("|")[:3]]
    granted = allowed(deployed(), f"{name[0].upper()}{name[1:].replace('PI', 'pi')}Function")
    found = [
        {within.split("/")[1] for action, within in granted if action in of and "/" in within}
        for of in FOLDERS.values()
    ]
    assert shown == found
