"""Fixtures for tests on the local AWS: the real template, built and deployed once for all.

The stack runs the project `examples/campaign`, which has a stack of its own.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from emulated_aws.local_stack import local_stack
from job_runners.cli.stack import Stack
from job_runners.client.signing import Bearer
from job_runners.places import CODE
from role_probes import role_names
from stack_clients import StackApi, session, stack_api
from token_issuer import AUDIENCE, TokenIssuer, token_issuer

MEMORY = Path("/dev/shm")
# Stands for this machine's address on a container network. Only Linux has all of 127/8.
BRIDGE = ["127.0.0.2"] if sys.platform == "linux" else []
PROJECT = CODE / "examples" / "campaign"
ROOM = 8 * 2**30  # bytes; both stacks together were seen to take 2 of it


@dataclass(frozen=True)
class Local:
    """A deployed stack and what it was built from."""

    stack: Stack
    tree: Path  # what every function runs
    ticks: list[str] = field(default_factory=list)  # request ids of those that tests asked for

    @property
    def api(self) -> StackApi:
        """The stack's API, called as a service would."""
        return stack_api(self.stack)

    def make_due(self, job_id: str) -> bool:
        """As if the minute, or more, that a row is left alone had passed; False if the job is
        finished, and will never be due."""
        dynamodb = session(self.stack).client("dynamodb", endpoint_url=self.stack.endpoint_url)
        try:
            dynamodb.update_item(
                TableName=self.stack.table_name,
                Key={"id": {"S": job_id}},
                UpdateExpression="SET due_at = :now",
                ConditionExpression="attribute_exists(due_at)",
                ExpressionAttributeValues={":now": {"N": str(int(time.time() * 1000) - 1000)}},
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def tick(self) -> None:
        """Run the timer now, and not at the next minute."""
        functions = session(self.stack).client("lambda", endpoint_url=self.stack.endpoint_url)
        answer = functions.invoke(FunctionName=self.stack.timer_function_name, Payload=b"{}")
        assert answer["Payload"].read() == b"null"  # and not an error
        self.ticks.append(answer["ResponseMetadata"]["RequestId"])


@contextmanager
def worker_timeout(local: Local, seconds: int) -> Iterator[None]:
    """Yield a worker whose invocations are this short."""
    functions = session(local.stack).client("lambda", endpoint_url=local.stack.endpoint_url)
    worker = local.stack.worker_function_arn.removesuffix(":live")
    functions.update_function_configuration(FunctionName=worker, Timeout=seconds)
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=worker, Timeout=900)


@contextmanager
def roomy_home() -> Iterator[Path]:
    """Yield a folder in memory, where the machine has much of it, else on disk. The build and the
    functions' code are 2,500 files each there, and to write them in memory takes a quarter of the
    time."""
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    with tempfile.TemporaryDirectory(
        prefix="local-aws-", dir=MEMORY if in_memory else None, ignore_cleanup_errors=True
    ) as home:
        yield Path(home)


@contextmanager
def project_stack(home: Path, parameters: dict[str, str], **more: Any) -> Iterator[Stack]:
    """Yield a local AWS with the project. Only its build and its deploy know the project."""
    with ExitStack() as running:
        with patch.dict(os.environ, JOBS_PROJECT=str(PROJECT)):
            template = PROJECT / "own.template.yaml"
            stack = running.enter_context(
                local_stack(home, parameters, app_template=template, **more)
            )
        yield stack


@pytest.fixture(scope="session")
def local() -> Iterator[Local]:
    """Yield the stack that the end-to-end tests share."""
    parameters = {"WebhookSubscriptions": "true"}
    with roomy_home() as home, project_stack(home, parameters, addresses=BRIDGE) as stack:
        yield Local(stack, home / "build" / "ApiFunction")


@dataclass(frozen=True)
class Enforcing(Local):
    """A stack whose callers carry tokens, and whose functions are held to their roles' policies."""

    issuer: TokenIssuer = field(kw_only=True)

    @property
    def api(self) -> StackApi:
        """The API, called by a service with a token."""
        return self.called_with(self.issuer.token(roles=["service"]))

    def called_with(self, token: str) -> StackApi:
        """Return the API, called with this token."""
        return StackApi(self.stack.api_url, Bearer(token))


def allow_settings(stack: Stack) -> None:
    """Let the functions that run work read the settings of their jobs.

    ministack ignores the path in GetParametersByPath, so it needs a permission for all paths.
    """
    statement = {"Effect": "Allow", "Action": "ssm:GetParametersByPath", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam: Any = session(stack).client("iam", endpoint_url=stack.endpoint_url)
    for name in ("WorkerFunctionRole", "ApiFunctionRole"):
        role = role_names(stack)[name]
        iam.put_role_policy(RoleName=role, PolicyName="settings", PolicyDocument=document)


@pytest.fixture(scope="session")
def enforcing() -> Iterator[Enforcing]:
    """Yield the stack that the tests of access and of policies share."""
    with token_issuer() as issuer, roomy_home() as home:
        parameters = {"JwtIssuer": issuer.url, "JwtAudience": AUDIENCE, "KeepTaskPayloads": "true"}
        with project_stack(home, parameters, enforcing=True) as stack:
            # It is enforced too, and refuses what is not over TLS, as all is here.
            s3 = session(stack).client("s3", endpoint_url=stack.endpoint_url)
            s3.delete_bucket_policy(Bucket=stack.bucket_name)
            allow_settings(stack)
            yield Enforcing(stack, home / "build" / "ApiFunction", issuer=issuer)
