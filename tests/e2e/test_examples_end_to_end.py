"""The Lambda function of an example dispatches a job on the local AWS.

It is held to the statement of its own template, and the Django site's calls to those of its README.
"""

import json
import re
import uuid
from dataclasses import replace
from typing import Any, cast

import pytest

from example_apps import EXAMPLES
from example_stacks import deploy_example
from iam_api import IamApi
from job_runners import AccessDenied
from local_stack import Enforcing
from role_probes import AsRole, role_names
from stack_clients import session

pytestmark = pytest.mark.e2e

CAMPAIGN = f"campaign-{uuid.uuid4()}"  # of nobody: its export has no rows


def invoke(enforcing: Enforcing, function: str, event: dict[str, Any]) -> Any:
    """Return what a function answers."""
    stack = enforcing.stack
    functions = session(stack).client("lambda", endpoint_url=stack.endpoint_url)
    answer = functions.invoke(FunctionName=function, Payload=json.dumps(event).encode())
    value = json.loads(answer["Payload"].read())
    assert answer.get("FunctionError") is None, value
    return value


@pytest.fixture(scope="module")
def second_lambda(enforcing: Enforcing, iam_api: IamApi) -> str:
    return deploy_example(
        enforcing.stack,
        "second_lambda",
        {"ApiId": iam_api.id, "ApiUrl": iam_api.url, "Campaign": CAMPAIGN},
    )


def test_a_second_lambda_dispatches_one_job_for_an_event(
    enforcing: Enforcing, iam_api: IamApi, second_lambda: str
) -> None:
    first, again = (invoke(enforcing, second_lambda, {"id": "event-1"}) for _ in range(2))
    assert first["job_id"] == again["job_id"]
    job = iam_api.client.wait(first["job_id"], timeout=60)
    assert job.payload == {"campaign": CAMPAIGN}
    assert job.get_result()["rows"] == 0


def test_it_needs_its_statement_and_may_do_nothing_else(
    enforcing: Enforcing, iam_api: IamApi, second_lambda: str
) -> None:
    its = replace(enforcing.stack, name="second-lambda")
    allowed = iam_api.called_by(AsRole(its, role_names(its)["ExportFunctionRole"]))
    job = allowed.dispatch("export_contacts", {"campaign": CAMPAIGN})
    with pytest.raises(AccessDenied):
        allowed.get(job.id)
    ours = enforcing.stack
    without = iam_api.called_by(AsRole(ours, role_names(ours)["WorkerFunctionRole"]))
    with pytest.raises(AccessDenied):
        without.dispatch("export_contacts", {"campaign": CAMPAIGN})


def test_what_the_django_project_does_is_allowed_by_the_policy_of_its_readme(
    enforcing: Enforcing, iam_api: IamApi
) -> None:
    stack = enforcing.stack
    [text] = re.findall(
        r"```json\n(.*?)```", (EXAMPLES / "django_app/README.md").read_text(), re.DOTALL
    )
    values = {"REGION": stack.region, "ACCOUNT": "*", "API": iam_api.id, "STACK": stack.name}
    for name, value in values.items():
        text = text.replace(name, value)
    iam: Any = cast(Any, session(stack)).client("iam", endpoint_url=stack.endpoint_url)
    version = "2012-10-17"
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    iam.create_role(
        RoleName="web",
        AssumeRolePolicyDocument=json.dumps({"Version": version, "Statement": [trust]}),
    )
    document = json.dumps({"Version": version, "Statement": json.loads(text)})
    iam.put_role_policy(RoleName="web", PolicyName="jobs", PolicyDocument=document)
    role = AsRole(stack, "web")
    client = iam_api.called_by(role)
    job = client.dispatch("export_contacts", {"campaign": CAMPAIGN})
    assert client.get(job.id).id == job.id
    assert client.find(idempotency_key="unknown") is None
    assert client.job_types().jobs
    with pytest.raises(AccessDenied):
        client.cancel(job.id)
    cloudformation = role.client("cloudformation")
    assert cloudformation.describe_stacks(StackName=stack.name)["Stacks"]
