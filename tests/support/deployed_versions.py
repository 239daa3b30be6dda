"""One stack on a local AWS, which a test deploys each time that an organization's work, or the
version of Job Runners, changes."""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from emulated_aws.deploy import build, deploy, stack_of
from emulated_aws.emulator import Emulator, emulator
from emulated_aws.emulator_fixes import restore_settings
from job_runners import clock
from job_runners.building.samconfig import Target
from job_runners.cli.local_aws import REGION
from job_runners.cli.polling import FINISHED
from job_runners.cli.stack import Stack
from job_runners.settings import APP_PACKAGES_FILE
from job_runners.store.blobs import compressed
from local_stack import roomy_home
from newcomers import Newcomer
from released_code import TEMPLATE
from supervised import StackUnderTest

PATIENCE = 60  # seconds
ORGANIZATION = "acme"
_FUNCTION = "ApiFunction"  # whose tree they all run


@dataclass
class DeployedVersions(StackUnderTest):
    """The stack, and what it is deployed from."""

    organization = ORGANIZATION
    running: Emulator
    home: Path
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    stack: Stack = field(init=False)  # as it is deployed now
    tree: Path = field(init=False)

    @cached_property
    def _built(self) -> Path:
        return build(self.running, self.home)

    def deploy(
        self, name: str, work: Mapping[str, str], needs: Iterable[Path] = (), **parameters: str
    ) -> None:
        """Deploy a build with a package of an organization's own, acme, of these files, and the
        packages that it needs."""
        folder = self.home / f"deploy-{next(self._numbers)}-{name}"
        tree = folder / _FUNCTION
        shutil.copytree(self._built / _FUNCTION, tree, copy_function=os.link)
        for package in needs:
            shutil.copytree(package, tree / package.name)
        for file, text in {APP_PACKAGES_FILE: "acme\n", **work}.items():
            path = tree / file
            path.parent.mkdir(exist_ok=True)
            path.unlink(missing_ok=True)  # it is a link to what other trees have too
            path.write_text(text)
        shutil.copy(self._built / TEMPLATE, folder / TEMPLATE)
        stack = deploy(self.running, self.home, folder, parameters)
        restore_settings(stack)
        self.stack, self.tree = stack, tree

    def new_project(self, newcomer: Newcomer, name: str, work: str, **variables: str) -> Newcomer:
        """Return a person in a new project with this work, whose deploys reach the local AWS."""
        aws = {
            **self.running.credentials.variables,
            "AWS_ENDPOINT_URL": self.running.endpoint_url,
            "AWS_REGION": REGION,
            "SAM_CLI_POLL_DELAY": "0.3",
            "__SAM_CLI_APP_DIR": str(newcomer.folder / "sam"),
        }
        person = replace(newcomer, variables=aws | variables)
        person.jobs("init", name)
        person = person.inside(name)
        (person.folder / name / "__init__.py").write_text(work)
        config = person.folder / "samconfig.toml"
        ours = f'"DeletionProtection=false", "AwsEndpointUrl={self.running.endpoint_url}"'
        architecture = f"Architecture={Target.this_machine().architecture}"
        text = config.read_text().replace("Architecture=arm64", architecture)
        config.write_text(text.replace("overrides = [", f"overrides = [{ours}, "))
        assert ours in config.read_text()
        return person

    def deploy_project(self, project: Newcomer) -> None:
        """Deploy a project with its own command."""
        project.jobs("deploy", timeout=600)
        self.stack = stack_of(self.running, project.folder.name)
        restore_settings(self.stack)

    # --- its jobs ---

    def wait_for(self, job_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return a job once this holds of it, which it must before it ends otherwise."""
        until = time.monotonic() + PATIENCE
        while not holds(job := self.job(job_id)):
            assert time.monotonic() < until, job
            assert job["status"] not in FINISHED, job
            time.sleep(0.1)
        return job

    def row(self, job_id: str) -> dict[str, Any]:
        """Return a row as it is stored."""
        key = {"id": {"S": job_id}}
        found: dict[str, Any] = self.client("dynamodb").get_item(
            TableName=self.stack.table_name, Key=key, ConsistentRead=True
        )["Item"]
        return found

    def set(self, job_id: str, **numbers: int) -> None:
        """Set attributes of a row."""
        self.client("dynamodb").update_item(
            TableName=self.stack.table_name,
            Key={"id": {"S": job_id}},
            UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in numbers),
            ExpressionAttributeValues={
                f":{name}": {"N": str(value)} for name, value in numbers.items()
            },
        )

    def as_if_earlier(self, job_id: str, milliseconds: int) -> None:
        """Set the times of a job that waits back by so much, make it due, have the timer tick."""
        times = {
            name: int(value["N"]) - milliseconds
            for name, value in self.row(job_id).items()
            if name in ("created_at", "queued_at", "run_at", "updated_at")
        }
        self.set(job_id, **times, due_at=int(time.time() * 1000) - 1000)
        self.tick()

    def end_sleep(self, job_id: str, name: str) -> None:
        """Let a job's sleep of a day end now: the step that stores its end, and the row."""
        now = str(int(time.time() * 1000)).encode()
        step = {"pk": f"step#{self.row(job_id)['created_key']['S']}", "sk": f"sleep {name}"}
        self.client("dynamodb").update_item(
            TableName=self.stack.coordination_table_name,
            Key={key: {"S": text} for key, text in step.items()},
            UpdateExpression="SET #value = :value",
            ConditionExpression="attribute_exists(#value)",
            ExpressionAttributeNames={"#value": "value"},
            ExpressionAttributeValues={":value": {"B": compressed(now)}},
        )
        self.as_if_earlier(job_id, clock.DAY)


@pytest.fixture(scope="module")
def versions() -> Iterator[DeployedVersions]:
    """Yield the stack that the tests of a module deploy, on a local AWS of its own."""
    with roomy_home() as home, emulator(home) as running:
        yield DeployedVersions(running, home)
