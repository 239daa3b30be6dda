"""An API whose callers sign, on the stack that holds everybody to the policies of their roles."""

import io
import zipfile
from dataclasses import dataclass
from typing import Any, cast

import pytest

from job_runners import Client, Credentials
from job_runners.cli.local_aws import REGION
from job_runners.cli.stack import Stack
from local_stack import Enforcing
from role_probes import AsRole
from stack_clients import session


@dataclass(frozen=True)
class IamApi:
    """An API in front of a stack's own code whose callers sign."""

    id: str
    url: str
    client: Client  # that may do everything

    def called_by(self, role: AsRole) -> Client:
        """Return a client that signs as a role."""
        return Client(url=self.url, credentials=role.credentials, region=REGION)


@pytest.fixture(scope="session")
def iam_api(enforcing: Enforcing) -> IamApi:
    """Return a second API of the enforcing stack. That stack's own takes tokens, and asks for no
    permission to call it."""
    stack = enforcing.stack
    api = _signed_api(stack, _function_for_signed_calls(enforcing))
    url = f"{stack.endpoint_url}/_aws/execute-api/{api}/$default"
    held = Credentials(stack.aws_access_key_id, stack.aws_secret_access_key)
    return IamApi(api, url, Client(url=url, credentials=held, region=REGION))


def _function_for_signed_calls(enforcing: Enforcing) -> str:
    """Make a function that is like the API's but for what it asks of callers; return its ARN."""
    stack = enforcing.stack
    functions = session(stack).client("lambda", endpoint_url=stack.endpoint_url)
    cloudformation = session(stack).client("cloudformation", endpoint_url=stack.endpoint_url)
    name = cloudformation.describe_stack_resource(
        StackName=stack.name, LogicalResourceId="ApiFunction"
    )["StackResourceDetail"]["PhysicalResourceId"]
    like: Any = functions.get_function_configuration(FunctionName=name)
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        for file in enforcing.tree.rglob("*"):
            archive.write(file, file.relative_to(enforcing.tree))
    return functions.create_function(
        FunctionName=f"{name}-iam",
        **{key: like[key] for key in ("Runtime", "Role", "Handler", "Timeout", "MemorySize")},
        Environment={"Variables": like["Environment"]["Variables"] | {"ACCESS_MODE": "iam"}},
        Code={"ZipFile": code.getvalue()},
    )["FunctionArn"]


def _signed_api(stack: Stack, function: str) -> str:
    """Put an API in front of a function; return its id."""
    aws = cast(Any, session(stack))
    gateway = aws.client("apigatewayv2", endpoint_url=stack.endpoint_url)
    api: str = gateway.create_api(Name="iam", ProtocolType="HTTP")["ApiId"]
    integration = gateway.create_integration(
        ApiId=api,
        IntegrationType="AWS_PROXY",
        IntegrationUri=function,
        PayloadFormatVersion="2.0",
    )["IntegrationId"]
    gateway.create_route(
        ApiId=api,
        RouteKey="ANY /{proxy+}",
        AuthorizationType="AWS_IAM",
        Target=f"integrations/{integration}",
    )
    gateway.create_stage(ApiId=api, StageName="$default", AutoDeploy=True)
    return api
