"""Requests that change nothing, one for each action and resource that a policy may name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import boto3
from botocore.exceptions import ClientError

from job_runners import Credentials
from job_runners.cli.local_aws import REGION
from job_runners.cli.stack import Stack
from job_runners.client.credentials import of_botocore
from stack_clients import session

_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError", "403"})


@dataclass(frozen=True)
class Probe:
    """A request, as a policy names it."""

    action: str
    resource: str  # by logical id, as `expanded_template.allowed` has it
    ask: Callable[[], object]

    @property
    def denied(self) -> bool:
        """Whether the request is refused for want of permission, and for nothing else."""
        try:
            self.ask()
        except ClientError as error:
            return error.response["Error"]["Code"] in _DENIED
        return False


def role_names(stack: Stack) -> dict[str, str]:
    """Return the roles of a stack by logical id."""
    cloudformation = session(stack).client("cloudformation", endpoint_url=stack.endpoint_url)
    found = cloudformation.describe_stack_resources(StackName=stack.name)["StackResources"]
    return {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for each in found
        if each["ResourceType"] == "AWS::IAM::Role"
    }


class AsRole:
    """A session of a role, such as its function has."""

    def __init__(self, stack: Stack, role: str) -> None:
        self._stack = stack
        sts = cast(Any, session(stack)).client("sts", endpoint_url=stack.endpoint_url)
        account = sts.get_caller_identity()["Account"]
        assumed = sts.assume_role(
            RoleArn=f"arn:aws:iam::{account}:role/{role}", RoleSessionName="probe"
        )["Credentials"]
        self._session = boto3.Session(
            aws_access_key_id=assumed["AccessKeyId"],
            aws_secret_access_key=assumed["SecretAccessKey"],
            aws_session_token=assumed["SessionToken"],
            region_name=REGION,
        )

    @property
    def credentials(self) -> Credentials:
        """What the session signs with."""
        return of_botocore(cast(Any, self._session).get_credentials())

    def client(self, service: str) -> Any:
        """Return a client that asks as the role."""
        return cast(Any, self._session).client(service, endpoint_url=self._stack.endpoint_url)

    def probes(self) -> Iterator[Probe]:
        """Every probe."""
        stack = self._stack
        yield from self._table("JobsTable", stack.table_name, {"id": "S"})
        yield from self._table(
            "CoordinationTable", stack.coordination_table_name, {"pk": "S", "sk": "S"}
        )
        for index, key in (
            ("by_organization", "organization_id"),
            ("failed", "failed_organization"),
            ("unfinished", "unfinished_organization"),
            ("due", "due_shard"),
        ):
            yield self._query(stack.table_name, f"JobsTable/index/{index}", key, IndexName=index)
        yield from self._bucket(stack.bucket_name)
        yield from self._queue("DelayQueue", stack.delay_queue_url)
        yield from self._queue("FailuresQueue", stack.failures_queue_url)
        yield from self._worker(stack.worker_function_arn)

    def _table(self, logical: str, name: str, keys: dict[str, str]) -> Iterator[Probe]:
        dynamodb = self.client("dynamodb")
        key = {field: {kind: "nobody"} for field, kind in keys.items()}
        one = {"TableName": name, "Key": key}
        there = {"ConditionExpression": f"attribute_exists({next(iter(keys))})"}

        def probe(action: str, **request: Any) -> Probe:
            method = "".join(f"_{c.lower()}" if c.isupper() else c for c in action)[1:]
            return Probe(
                f"dynamodb:{action}", logical, lambda: getattr(dynamodb, method)(**request)
            )

        yield probe("GetItem", **one)
        yield probe("PutItem", TableName=name, Item=key, **there)
        yield probe("UpdateItem", **one, **there)
        yield probe("DeleteItem", **one, **there)
        yield probe("BatchGetItem", RequestItems={name: {"Keys": [key]}})
        yield probe("BatchWriteItem", RequestItems={name: [{"DeleteRequest": {"Key": key}}]})
        yield probe("Scan", TableName=name, Limit=1)
        yield self._query(name, logical, next(iter(keys)))

    def _query(self, table: str, logical: str, key: str, **more: Any) -> Probe:
        dynamodb = self.client("dynamodb")
        return Probe(
            "dynamodb:Query",
            logical,
            lambda: dynamodb.query(
                TableName=table,
                KeyConditionExpression="#key = :value",
                ExpressionAttributeNames={"#key": key},
                ExpressionAttributeValues={":value": {"S": "nobody"}},
                **more,
            ),
        )

    def _bucket(self, name: str) -> Iterator[Probe]:
        s3 = self.client("s3")
        yield Probe("s3:ListBucket", "Bucket", lambda: s3.list_objects_v2(Bucket=name, MaxKeys=1))
        for folder in ("payloads", "results", "partial", "uploads"):
            one = {"Bucket": name, "Key": f"{folder}/nobody/probe"}
            put = {**one, "Body": b""}
            for action, ask in (
                ("s3:PutObject", partial(s3.put_object, **put)),
                ("s3:GetObject", partial(s3.get_object, **one)),
                ("s3:DeleteObject", partial(s3.delete_object, **one)),
            ):
                yield Probe(action, f"Bucket/{one['Key']}", ask)

    def _queue(self, logical: str, url: str) -> Iterator[Probe]:
        sqs = self.client("sqs")
        requests: dict[str, Callable[[], object]] = {
            # A delay that no queue takes: what may send is told so, and nothing is sent.
            "SendMessage": lambda: sqs.send_message(
                QueueUrl=url, MessageBody="probe", DelaySeconds=100_000
            ),
            "ReceiveMessage": lambda: sqs.receive_message(QueueUrl=url, VisibilityTimeout=0),
            "DeleteMessage": lambda: sqs.delete_message(QueueUrl=url, ReceiptHandle="none"),
            "GetQueueAttributes": lambda: sqs.get_queue_attributes(QueueUrl=url),
            "PurgeQueue": lambda: sqs.purge_queue(QueueUrl=url),
        }
        for action, ask in requests.items():
            yield Probe(f"sqs:{action}", logical, ask)

    def _worker(self, alias: str) -> Iterator[Probe]:
        functions = self.client("lambda")
        bare = alias.removesuffix(":live")
        for logical, name in (("WorkerFunctionAliaslive", alias), ("WorkerFunction", bare)):
            yield Probe(
                "lambda:InvokeFunction",
                logical,
                partial(functions.invoke, FunctionName=name, InvocationType="DryRun"),
            )
