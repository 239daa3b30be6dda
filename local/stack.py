"""What a deployed stack is called: everything a program needs to use the local AWS."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from local.emulator import REGION


@dataclass(frozen=True)
class Stack:
    """The addresses and names of one deployed stack."""

    endpoint_url: str
    api_url: str
    region: str
    table_name: str
    coordination_table_name: str
    contacts_table_name: str
    bucket_name: str
    worker_function_arn: str
    timer_function_name: str
    failures_function_name: str
    failures_queue_url: str
    delay_queue_url: str

    @staticmethod
    def from_outputs(endpoint_url: str, outputs: dict[str, str]) -> "Stack":
        """From the template's outputs; ApiUrl aside, which names a host that only AWS serves."""
        return Stack(
            endpoint_url=endpoint_url,
            api_url=f"{endpoint_url}/_aws/execute-api/{outputs['ApiId']}/$default",
            region=REGION,
            table_name=outputs["JobsTableName"],
            coordination_table_name=outputs["CoordinationTableName"],
            contacts_table_name=outputs["ContactsTableName"],
            bucket_name=outputs["BucketName"],
            worker_function_arn=outputs["WorkerFunctionArn"],
            timer_function_name=outputs["TimerFunctionName"],
            failures_function_name=outputs["FailuresFunctionName"],
            failures_queue_url=outputs["FailuresQueueUrl"],
            delay_queue_url=outputs["DelayQueueUrl"],
        )

    def save(self, path: Path) -> None:
        """Write it where other programs look for it."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")
