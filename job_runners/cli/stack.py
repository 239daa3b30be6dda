"""What a deployed stack is called: everything a program needs to use it."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Stack:
    """The addresses and names of one deployed stack."""

    name: str
    region: str
    endpoint_url: str  # of a local AWS; empty means AWS itself
    api_url: str
    table_name: str
    coordination_table_name: str
    contacts_table_name: str  # empty in a stack without the texting campaign
    bucket_name: str
    worker_function_arn: str
    timer_function_name: str
    failures_function_name: str
    failures_queue_url: str
    delay_queue_url: str
    # Of a local AWS, which makes new ones at every start.
    aws_access_key_id: str = field(default="", repr=False)
    aws_secret_access_key: str = field(default="", repr=False)

    @staticmethod
    def from_outputs(
        name: str, region: str, outputs: Mapping[str, str], endpoint_url: str = ""
    ) -> "Stack":
        """From the template's outputs. Raises KeyError if one that every stack has is missing."""
        api_url = outputs["ApiUrl"]
        if endpoint_url:  # ApiUrl names a host that only AWS serves
            api_url = f"{endpoint_url}/_aws/execute-api/{outputs['ApiId']}/$default"
        return Stack(
            name=name,
            region=region,
            endpoint_url=endpoint_url,
            api_url=api_url,
            table_name=outputs["JobsTableName"],
            coordination_table_name=outputs["CoordinationTableName"],
            contacts_table_name=outputs.get("ContactsTableName", ""),
            bucket_name=outputs["BucketName"],
            worker_function_arn=outputs["WorkerFunctionArn"],
            timer_function_name=outputs["TimerFunctionName"],
            failures_function_name=outputs["FailuresFunctionName"],
            failures_queue_url=outputs["FailuresQueueUrl"],
            delay_queue_url=outputs["DelayQueueUrl"],
        )

    @property
    def has_texting_campaign(self) -> bool:
        """Whether it was deployed with the texting campaign that ships as an example."""
        return bool(self.contacts_table_name)

    @property
    def is_local(self) -> bool:
        """Whether it is on the local AWS that `make run` starts."""
        return bool(self.endpoint_url)

    def save(self, path: Path) -> None:
        """Write it where this user's other programs look for it, and nobody else's."""
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")

    @staticmethod
    def load(path: Path) -> "Stack":
        """Return what `save` wrote."""
        return Stack(**json.loads(path.read_text()))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first moment on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
