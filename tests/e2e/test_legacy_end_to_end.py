"""A stack that is switched to JobRunner=legacy, and back: its API function does all work."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from emulated_aws.emulator_fixes import restore_settings
from following import follow
from job_runners.cli.stack import Stack
from local_stack import Enforcing
from stack_clients import session

pytestmark = pytest.mark.e2e

KEY = "uploads/acme/legacy.csv"
FILE = b"first_name,last_name,cell\nAda,Lovelace,(212) 555-0123\n"


@contextmanager
def switched(stack: Stack, runner: str) -> Iterator[Stack]:
    """Yield the stack while its parameter JobRunner is another."""
    try:
        yield update(stack, runner)
    finally:
        update(stack, "lambda-async")


def update(stack: Stack, runner: str) -> Stack:
    """Change this parameter alone, by the template and the code that are there."""
    cloudformation = session(stack).client("cloudformation", endpoint_url=stack.endpoint_url)
    (before,) = cloudformation.describe_stacks(StackName=stack.name)["Stacks"]
    others = {each["ParameterKey"] for each in before["Parameters"]} - {"JobRunner"}
    parameters: list[Any] = [
        {"ParameterKey": name, "UsePreviousValue": True} for name in sorted(others)
    ]
    cloudformation.update_stack(
        StackName=stack.name,
        UsePreviousTemplate=True,
        Parameters=[*parameters, {"ParameterKey": "JobRunner", "ParameterValue": runner}],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    waiter = cloudformation.get_waiter("stack_update_complete")
    waiter.wait(StackName=stack.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    (after,) = cloudformation.describe_stacks(StackName=stack.name)["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in after["Outputs"]}
    changed = replace(stack, worker_function_arn=outputs["WorkerFunctionArn"])
    restore_settings(changed)
    return changed


@pytest.fixture(scope="module")
def legacy(enforcing: Enforcing) -> Iterator[Enforcing]:
    with switched(enforcing.stack, "legacy") as stack:
        yield replace(enforcing, stack=stack)


def test_requests_run_their_work_and_the_timer_has_the_api_function_run_the_rest(
    legacy: Enforcing,
) -> None:
    legacy.upload("legacy.csv", FILE)
    job_id = legacy.dispatch("import_contacts", {"campaign": "legacy", "key": KEY})
    job = legacy.api.get(f"/jobs/{job_id}").json
    assert (job["status"], job["result"]["imported"]) == ("succeeded", 1)

    satellite = {"cell": "+881612345678", "text": "Polls close at 8."}  # is never texted
    task = legacy.api.post("/tasks", {"task_name": "send_message", "payload": satellite})
    assert task.status == 202, task.text
    failed = legacy.api.get("/tasks/failed?limit=100").json["tasks"]
    assert task.json["id"] in {each["id"] for each in failed}

    soon = legacy.dispatch("export_contacts", {"campaign": "legacy"}, delay=1)
    assert legacy.api.get(f"/jobs/{soon}").json["status"] == "scheduled"
    assert follow(legacy.api, soon, patience=30)["status"] == "succeeded"
