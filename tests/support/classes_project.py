"""A project with worker classes, built and deployed to the emulator as it changes."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emulated_aws.deploy import build, deploy
from emulated_aws.emulator import Emulator, emulator
from emulated_aws.emulator_fixes import settle
from job_runners.cli.stack import Stack
from job_runners.places import CODE
from local_stack import Deployed
from supervised import write_project

WORK = '''
import os
import time
import uuid

from botocore.session import get_session
from pydantic import BaseModel

from job_runners.work import Job, Member, Queue, Retry, RetryAfter, RunningJob, Task

NAME = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "")


class What(BaseModel):
    kind: str = ""


def note(what: str) -> None:
    """Leave a file for each run, in the name of the function."""
    key = f"results/ran/{what}/{NAME}/{uuid.uuid4()}"
    s3, bucket = get_session().create_client("s3"), os.environ["BUCKET_NAME"]
    s3.put_object(Bucket=bucket, Key=key, Body=b"")


def work(job: RunningJob, payload: What) -> str:
    """Do what the payload says, and return the name of the function."""
    note(job.id)
    if payload.kind == "dies" and job.attempt == 1:
        os._exit(3)
    if payload.kind == "fails" and job.attempt == 1:
        raise RetryAfter(1, "busy")
    if payload.kind == "sleeps":
        job.sleep("a moment", 5)
    if payload.kind == "parent":
        for job_type in ("default", "large", "tiny"):
            job.dispatch(job_type, {}, key=job_type)
    if payload.kind == "gathers":
        members = [Member("large"), Member("tiny")]
        return ",".join(each.value for each in job.gather("all", members))
    return NAME


def errand(payload: What) -> None:
    """Do what the payload says."""
    note(payload.kind)
    if payload.kind == "breaks":
        raise ValueError("no luck")


AGAIN = Retry(max_attempts=2, base=1, cap=1)
JOBS = {
    "default": Job(work, retry=AGAIN),
    "large": Job(work, retry=AGAIN, worker="large"),
    "tiny": Job(work, retry=AGAIN, worker="tiny"),
    "moved": Job(work, retry=AGAIN),
    "followed": Job(work, on_end="large"),
    "narrow": Job(work, worker="large", queue_name="narrow"),
}
QUEUES = {"narrow": Queue(slots=1)}
TASKS = {
    "default_errand": Task(errand),
    "large_errand": Task(errand, worker="large"),
    "tiny_errand": Task(errand, worker="tiny"),
}
'''
CLASSES = "[workers.large]\nmemory = 2048\ntimeout = 60\n[workers.tiny]\ntimeout = 30\n"


class Classes(Deployed):
    """The deployed stack of a project with worker classes."""

    organization = "acme"

    def function(self, worker_class: str) -> str:
        """Return the name of the function of a class, or of the default worker."""
        if worker_class == "default":
            return self.stack.worker_function_arn.split(":")[6]
        return f"{self.stack.name}-worker-{worker_class}"

    @property
    def worker_log_group(self) -> str:
        """The log group of all workers."""
        (stack,) = self.client("cloudformation").describe_stacks(StackName=self.stack.name)[
            "Stacks"
        ]
        found = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
        return str(found["WorkerLogGroupName"])

    def dispatch(self, job_type: str, payload: Any = "", **more: Any) -> str:
        """Dispatch a job of this kind and return its id."""
        return super().dispatch(job_type, {"kind": payload}, **more)

    def runs(self, what: str) -> Counter[str]:
        """Return how often the function of each class ran a job or a task."""
        pages = self.client("s3").get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.stack.bucket_name, Prefix=f"results/ran/{what}/")
        return Counter(
            each["Key"].split("/")[3] for page in found for each in page.get("Contents", [])
        )

    def start_now(self, job_id: str) -> None:
        """As if a job's start time had come, and its message were lost."""
        self.client("dynamodb").update_item(
            TableName=self.stack.table_name,
            Key={"id": {"S": job_id}},
            UpdateExpression="SET run_at = :past",
            ExpressionAttributeValues={":past": {"N": "1"}},
        )
        assert self.make_due(job_id)


class Project:
    """The project's folder, and the emulator that it is deployed to."""

    def __init__(self, running: Emulator, home: Path) -> None:
        self._running, self._home = running, home
        self._deploys = 0

    def deploy(self, work: str, classes: str) -> Classes:
        """Write this code and these classes, build, and deploy."""
        self._deploys += 1
        home = self._home / str(self._deploys)
        home.mkdir()
        files = {"my_work/__init__.py": work, "app.toml": classes}
        project = write_project(self._home / "project", files)
        done = subprocess.run(
            [sys.executable, "-m", "job_runners.building.sam_folder"],
            cwd=CODE,
            env={**os.environ, "JOBS_PROJECT": str(project)},
            capture_output=True,
            text=True,
            check=True,
        )
        built = build(self._running, home, Path(done.stdout.strip()))
        stack: Stack = deploy(self._running, home, built, {"KeepTaskPayloads": "true"})
        settle(stack)
        found = Classes(stack, built / "ApiFunction")
        # It refuses what is not over TLS, as all is here.
        found.client("s3").delete_bucket_policy(Bucket=stack.bucket_name)
        return found


@contextmanager
def classes_project(home: Path) -> Iterator[Project]:
    """Yield a project on an emulator that holds each function to the policies of its role."""
    with emulator(home, enforcing=True) as running:
        yield Project(running, home)
