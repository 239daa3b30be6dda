"""Sends dead letters again: what could not be settled, or not be sent, goes back to its queue.

Usage: python -m local.redrive [--stack NAME]. Without a name: the local AWS, if it is up.
"""

import argparse
import json
import sys
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from mypy_boto3_sqs import SQSClient

from local.emulator import session
from local.home import HOME, STACK_FILE
from local.problem import LocalProblem


def main() -> int:
    """Redrive both queues; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.redrive", description=__doc__)
    parser.add_argument("--stack", help="a deployed stack, found with your own AWS credentials")
    try:
        sqs, queues = _queues(parser.parse_args().stack)
        for name, queue_url in queues.items():
            print(f"{name}: {redrive(sqs, queue_url)} dead letters sent again")
    except (LocalProblem, ClientError, BotoCoreError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def redrive(sqs: SQSClient, queue_url: str) -> int:
    """Move what a queue's dead-letter queue holds back to it, one by one: sent before it is
    deleted, so that nothing is lost if this stops halfway. Returns how many."""
    attributes = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["RedrivePolicy"])
    arn = json.loads(attributes["Attributes"]["RedrivePolicy"])["deadLetterTargetArn"]
    dead = sqs.get_queue_url(QueueName=arn.rsplit(":", 1)[1])["QueueUrl"]
    moved = 0
    while messages := sqs.receive_message(QueueUrl=dead, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            sqs.send_message(QueueUrl=queue_url, MessageBody=message["Body"])
            sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
            moved += 1
    return moved


def _queues(stack: str | None) -> tuple[SQSClient, dict[str, str]]:
    if stack is None:
        return _local_queues(HOME / STACK_FILE)
    described = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in described["Outputs"]}
    queues = {"failures": outputs["FailuresQueueUrl"], "delayed": outputs["DelayQueueUrl"]}
    return boto3.client("sqs"), queues


def _local_queues(stack_file: Path) -> tuple[SQSClient, dict[str, str]]:
    if not stack_file.exists():
        raise LocalProblem(
            "No local AWS is up. Start one with make run, or name a deployed stack: "
            "make redrive STACK=job-runners"
        )
    stack = json.loads(stack_file.read_text())
    queues = {"failures": stack["failures_queue_url"], "delayed": stack["delay_queue_url"]}
    return session().client("sqs", endpoint_url=stack["endpoint_url"]), queues


if __name__ == "__main__":
    sys.exit(main())
