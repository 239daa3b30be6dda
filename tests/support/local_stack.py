"""Stacks of examples/campaign that tests share: one of `job-runners run`, and two of the real
template, deployed to an emulator.
"""

import json
import os
import shutil
import sys
import tempfile
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
from stack_clients import StackApi, session
from supervised import StackUnderTest, running
from token_issuer import AUDIENCE, TokenIssuer, token_issuer

MEMORY = Path("/dev/shm")
# Stands for this machine's address on a container network. Only Linux has all of 127/8.
BRIDGE = ["127.0.0.2"] if sys.platform == "linux" else []
PROJECT = CODE / "examples" / "campaign"
ROOM = 8 * 2**30  # bytes; both stacks together were seen to take 2 of it


@dataclass
class Local(StackUnderTest):
    """A stack on this machine."""

    stack: Stack


@dataclass
class Deployed(Local):
    """A stack that was deployed to the emulator, and what it was built from."""

    tree: Path  # what every function runs
    ticks: int = field(default=0, kw_only=True)  # those of tests

    def tick(self) -> None:
        super().tick()
        self.ticks += 1


@contextmanager
def worker_timeout(deployed: Deployed, seconds: int) -> Iterator[None]:
    """Yield a worker whose invocations are this short."""
    functions = deployed.client("lambda")
    worker = deployed.stack.worker_function_arn.removesuffix(":live")
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
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """Yield the project as `job-runners run` runs it."""
    project = tmp_path_factory.mktemp("local") / "campaign"
    shutil.copytree(PROJECT, project)
    options = ["--parameter", "WebhookSubscriptions=true"]
    if BRIDGE:
        options += ["--listen", *BRIDGE]
    with running(project, *options) as run:
        yield Local(run.stack)


@pytest.fixture(scope="session")
def deployed() -> Iterator[Deployed]:
    """Yield the stack that the tests of the real template share."""
    parameters = {"WebhookSubscriptions": "true"}
    with roomy_home() as home, project_stack(home, parameters) as stack:
        yield Deployed(stack, home / "build" / "ApiFunction")


@dataclass
class Enforcing(Deployed):
    """A stack whose callers carry tokens, and whose functions are held to their roles' policies."""

    issuer: TokenIssuer
    organization = "acme"

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
            yield Enforcing(stack, home / "build" / "ApiFunction", issuer)
