"""Run a local AWS for the benchmarks, with Job Runners deployed to it.

The functions and programs of the peers (the other libraries that are measured) use it too.
"""

import io
import json
import os
import signal
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.counting_proxy import CountingProxy, counting_proxy
from benchmarks.environment import PROGRAMS, PROJECT, WORK
from benchmarks.peers import Peer
from job_runners.building.target import this_python
from job_runners.cli.stack import Stack
from job_runners.local.credentials import credentials, session
from job_runners.local.local_stack import local_stack

VISIBILITY = 5  # seconds after which a queue delivers a dead worker's message again
_ACCOUNT = "000000000000"
_TIMEOUT = 60.0
# The source of each function's start.py, by the function's name.
_ENTRY_POINTS = {
    "empty": "from work_unit import note\ndef handler(event, _):\n    note(event['notes'], 0)\n",
    "zappa": "from zappa.handler import lambda_handler as handler\n",
    "durable": "from durable_program import handler\n",
    "killed_durable": "from durable_program import handler\n",
    "fastapi": "from fastapi_program import handler\n",
}


class TooSlow(Exception):
    """An expected event did not happen in time."""


def wait_for(what: str, found: Callable[[], Any], seconds: float = _TIMEOUT) -> Any:
    """Call `found` until its result is true, and return that result. Raises TooSlow."""
    until = time.monotonic() + seconds
    while True:
        if result := found():
            return result
        if time.monotonic() > until:
            raise TooSlow(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.02)


@dataclass(frozen=True)
class Start:
    """One start of a piece of work, as the work noted it."""

    at: float  # seconds since 1970
    pid: int
    name: str


class Notes:
    """The file to which each piece of work adds a line when it starts."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.notes"
        self.path.touch()

    def starts(self) -> list[Start]:
        """Return the notes written so far."""
        lines = [line.split(" ") for line in self.path.read_text().splitlines()]
        return [Start(float(at), int(pid), name) for at, pid, name in lines]

    def wait_for(self, count: int) -> Start:
        """Wait until `count` pieces of work have started, and return the last. Raises TooSlow."""
        what = f"{self.path.stem}: start number {count}"
        wait_for(what, lambda: len(self.starts()) >= count)
        return self.starts()[-1]


@dataclass(frozen=True)
class LiveAws:
    """A running local AWS and its stack."""

    stack: Stack
    folder: Path
    proxy: CountingProxy  # the peers' requests go through it

    def client(self, service: str) -> Any:
        """Return a client for a service."""
        aws: Any = session(self.stack)
        return aws.client(service, endpoint_url=self.stack.endpoint_url)

    def peer_environment(self) -> dict[str, str]:
        """Return the environment variables of a peer's program. Its requests are counted."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            **credentials(self.stack).variables,
            "AWS_DEFAULT_REGION": self.stack.region,
            "AWS_REGION": self.stack.region,
            "AWS_ENDPOINT_URL": self.proxy.endpoint_url,
            "ACCOUNT": _ACCOUNT,
            "VISIBILITY": str(VISIBILITY),
            "PYTHONPATH": str(PROGRAMS),
        }

    def our_environment(self) -> dict[str, str]:
        """Return the environment variables for a program of ours that dispatches to this stack."""
        return (
            self.peer_environment()
            | WORK
            | {
                "AWS_ENDPOINT_URL": self.stack.endpoint_url,
                "JOB_RUNNER": "lambda-async",
                "WORKER_LAMBDA_FUNCTION_NAME": self.stack.worker_function_arn,
                "DELAY_QUEUE_URL": self.stack.delay_queue_url,
                "JOBS_TABLE_NAME": self.stack.table_name,
                "COORDINATION_TABLE_NAME": self.stack.coordination_table_name,
                "BUCKET_NAME": self.stack.bucket_name,
                "POWERTOOLS_LOG_LEVEL": "CRITICAL",
            }
        )

    def call(self, interpreter: Path, program: str, *arguments: str) -> list[str]:
        """Call a function of a peer's program in its environment, and return the printed lines."""
        function, *given = arguments
        code = f"import {program}; {program}.{function}(*{given!r})"
        done = subprocess.run(
            [str(interpreter), "-c", code],
            env=self.peer_environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} {arguments[0]}: {done.stderr.strip()[-600:]}")
        return done.stdout.splitlines()

    @contextmanager
    def serving(self, peer: Peer, program: str, *arguments: str) -> Iterator[int]:
        """Run a peer's worker in its own process group, and yield the id of the group's leader."""
        with (self.folder / f"{program}.log").open("ab") as log:
            process = subprocess.Popen(
                [str(peer.interpreter), "-c", f"import {program}; {program}.serve(*{arguments!r})"],
                env=self.peer_environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process.pid
        finally:
            kill_group(process.pid)
            process.wait()

    def create_function(
        self, name: str, folders: Sequence[Path], *, durable: bool = False, **more: str
    ) -> str:
        """Create a function that imports from these folders first.

        `more` are additional environment variables. Return the function's name. If the function is
        durable, return the ARN of its version instead.
        """
        paths = [*map(str, folders), str(PROGRAMS)]
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w") as archive:
            start = f"import sys\nsys.path[:0] = {paths!r}\n{_ENTRY_POINTS[name]}"
            archive.writestr("start.py", start)
        lambda_client, variables = self.client("lambda"), self.peer_environment() | more
        if durable:
            lambda_client.meta.events.register("before-call.lambda.CreateFunction", _enable_durable)
        # Lambda reserves the first three. PYTHONPATH isn't needed, because start.py sets the path.
        for unset in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "PYTHONPATH"):
            del variables[unset]
        created = lambda_client.create_function(
            FunctionName=name,
            Runtime=f"python{this_python()}",
            Role=f"arn:aws:iam::{_ACCOUNT}:role/bench",
            Handler="start.handler",
            Code={"ZipFile": zipped.getvalue()},
            Timeout=60,
            Environment={"Variables": variables},
            Publish=True,
            **({"DurableConfig": {"ExecutionTimeout": 600}} if durable else {}),
        )
        return f"{created['FunctionArn'].removesuffix(':1')}:1" if durable else name


def _enable_durable(params: dict[str, Any], **_: Any) -> None:
    """Add the field that ministack requires for durable functions."""
    request = json.loads(params["body"])
    request["DurableConfig"]["Enabled"] = True
    params["body"] = json.dumps(request).encode()


def kill_group(leader: int) -> None:
    """Kill all processes of a group that we started, as if their machine had failed."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


@contextmanager
def live_aws() -> Iterator[LiveAws]:
    """Start a local AWS, and deploy Job Runners with the measured jobs. Stop the AWS at the end.

    Raises LocalProblem.
    """
    previous = os.environ.get("PROJECT")
    os.environ["PROJECT"] = str(PROJECT)  # the build reads the project from this variable
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
            folder = Path(home) / "bench"
            folder.mkdir()
            with (
                local_stack(Path(home), {"TextingCampaign": "false"}) as stack,
                counting_proxy(
                    stack.endpoint_url, stack.aws_access_key_id, stack.aws_secret_access_key
                ) as proxy,
            ):
                yield LiveAws(stack, folder, proxy)
    finally:
        if previous is None:
            del os.environ["PROJECT"]
        else:
            os.environ["PROJECT"] = previous
