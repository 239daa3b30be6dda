"""A deployed stack's addresses and names, and the file in which `job-runners run` keeps them."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path


@dataclass(frozen=True)
class Stack:
    """The addresses and names of one deployed stack."""

    name: str
    region: str
    endpoint_url: str  # the URL of the local AWS; empty for AWS itself
    api_url: str
    table_name: str
    coordination_table_name: str
    bucket_name: str
    worker_function_arn: str
    timer_function_name: str
    failures_function_name: str
    failures_queue_url: str
    delay_queue_url: str
    # The credentials that the local AWS creates at each start; empty for AWS itself.
    aws_access_key_id: str = field(default="", repr=False)
    aws_secret_access_key: str = field(default="", repr=False)
    # The outputs of the project's own template, if `job-runners run` started the stack.
    own_outputs: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def from_outputs(
        name: str, region: str, outputs: Mapping[str, str], endpoint_url: str = ""
    ) -> "Stack":
        """Create a stack from its outputs. Raises KeyError if one is missing."""
        from job_runners.client.stack_outputs import api_address  # slow to import

        return Stack(
            name=name,
            region=region,
            endpoint_url=endpoint_url,
            api_url=api_address(outputs, endpoint_url),
            table_name=outputs["JobsTableName"],
            coordination_table_name=outputs["CoordinationTableName"],
            bucket_name=outputs["BucketName"],
            worker_function_arn=outputs["WorkerFunctionArn"],
            timer_function_name=outputs["TimerFunctionName"],
            failures_function_name=outputs["FailuresFunctionName"],
            failures_queue_url=outputs["FailuresQueueUrl"],
            delay_queue_url=outputs["DelayQueueUrl"],
        )

    @property
    def is_local(self) -> bool:
        """Whether the stack is on the local AWS that `job-runners run` starts."""
        return bool(self.endpoint_url)

    def save(self, path: Path) -> None:
        """Write the stack to a file that only this user can read, with all names in snake case."""
        values = asdict(self)
        own_outputs = values.pop("own_outputs")
        own_values = {_snake_case(name): value for name, value in own_outputs.items()}
        write_private(path, json.dumps({**own_values, **values}, indent=2) + "\n")

    @staticmethod
    def load(path: Path) -> "Stack":
        """Read the stack that `save` wrote."""
        names = {stack_field.name for stack_field in fields(Stack)}
        values = json.loads(path.read_text())
        return Stack(**{name: value for name, value in values.items() if name in names})


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can ever read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
