"""examples/sqs_runner deployed as make run and make deploy do it: its stack first, then ours."""

import shutil
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from emulated_aws.deploy import build, deploy
from emulated_aws.emulator import emulator
from following import follow
from job_runners.cli.stack import Stack
from job_runners.places import ROOT
from local_stack import roomy_home
from stack_clients import session, stack_api

# After the others on a local AWS, and not beside them: it starts one of its own.
pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.xdist_group("local AWS")]

EXAMPLE = ROOT / "examples" / "sqs_runner"
JOBS = 12


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with roomy_home() as home, emulator(home) as running:
        built = build(running, home)
        for function in built.iterdir():
            if function.is_dir():
                shutil.copytree(EXAMPLE / "sqs_runner", function / "sqs_runner", dirs_exist_ok=True)
        yield deploy(
            running, home, built, {"WorkQueueConcurrency": "4"}, EXAMPLE / "own.template.yaml"
        )


def test_work_goes_through_the_queue_and_none_is_lost_or_doubled(stack: Stack) -> None:
    api = stack_api(stack)
    payload = {"url": "https://hooks.example.com", "body": {}, "secret": "acme/none"}
    job = {"job_type": "post_webhook", "payload": payload}
    ids = [
        api.post("/jobs", job | {"organization_id": f"org{n % 3}"}).json["id"] for n in range(JOBS)
    ]
    ended = [follow(api, each, patience=60) for each in ids]
    # That of another organisation is refused for good, and nobody has set this one's.
    assert Counter((each["status"], each["attempt"]) for each in ended) == {("failed", 1): JOBS}
    assert {each["invocations"] for each in ended} == {1}
    assert left(stack, "work") == left(stack, "work-dead") == 0


def left(stack: Stack, name: str) -> int:
    """Return how many messages a queue of the example has."""
    sqs: Any = session(stack).client("sqs", endpoint_url=stack.endpoint_url)
    url = sqs.get_queue_url(QueueName=f"{stack.name}-{name}")["QueueUrl"]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(each) for each in found.values())
