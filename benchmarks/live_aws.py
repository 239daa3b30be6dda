"""Run a local AWS for the benchmarks, with Job Runners deployed to it.

Functions and programs of the peers, the measured alternatives to Job Runners, use it too.
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
from benchmarks.environment import APP, PROGRAMS, WORK
from benchmarks.peers import Peer
from job_runners.cli.stack import Stack
from local.credentials import credentials, session
from local.local_stack import local_stack
from tools.target import this_python

VISIBILITY = 5  # seconds after which a queue delivers a dead worker's message again
_ACCOUNT = "000000000000"
_PATIENCE = 60.0
# The source of each function's start.py, by the function's name.
_STARTS = {
    "empty": "from work_unit import note\ndef handler(event, _):\n    note(event['notes'], 0)\n",
    "zappa": "from zappa.handler import lambda_handler as handler\n",
    "durable": "from durable_program import handler\n",
    "killed_durable": "from durable_program import handler\n",
    "fastapi": "from fastapi_program import handler\n",
}


class TooSlow(Exception):
    """An expected event did not happen in time."""


def wait_for(what: str, found: Callable[[], Any], seconds: float = _PATIENCE) -> Any:
    """Call `found` until its result is true, and return that result. Raises TooSlow."""
    until = time.monotonic() + seconds
    while True:
        if result := found():
            return result
        if time.monotonic() > until:
            raise TooSlow(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.02)


@dataclass(frozen=True)
class Begun:
    """The note that a piece of work writes when it starts."""

    at: float  # seconds since 1970
    pid: int
    name: str


class Notes:
    """The file in which work notes its start."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.notes"
        self.path.touch()

    def begun(self) -> list[Begun]:
        """Return the notes written so far."""
        lines = [line.split(" ") for line in self.path.read_text().splitlines()]
        return [Begun(float(at), int(pid), name) for at, pid, name in lines]

    def wait_for(self, count: int) -> Begun:
        """Wait until `count` pieces of work have started, and return the last. Raises TooSlow."""
        what = f"{self.path.stem}: start number {count}"
        wait_for(what, lambda: len(self.begun()) >= count)
        return self.begun()[-1]


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

    def environment(self) -> dict[str, str]:
        """Return the environment variables of a peer's program, whose requests are counted."""
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

    def ours(self) -> dict[str, str]:
        """Return the environment variables for a program of ours that dispatches to this stack."""
        return (
            self.environment()
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
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
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
                env=self.environment(),
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

        `more` are additional environment variables. Return the function's name, or the ARN of its
        version if it is durable.
        """
        paths = [*map(str, folders), str(PROGRAMS)]
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w") as archive:
            start = f"import sys\nsys.path[:0] = {paths!r}\n{_STARTS[name]}"
            archive.writestr("start.py", start)
        functions, variables = self.client("lambda"), self.environment() | more
        if durable:
            functions.meta.events.register("before-call.lambda.CreateFunction", _enable_durable)
        # Lambda reserves the first three. start.py sets the path instead of PYTHONPATH.
        for unset in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "PYTHONPATH"):
            del variables[unset]
        created = functions.create_function(
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
    """Start a local AWS, deploy Job Runners with the measured jobs, and stop it at the end.

    Raises LocalProblem.
    """
    before = os.environ.get("APP")
    os.environ["APP"] = str(APP)  # the build reads the app's folder from this variable
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
        if before is None:
            del os.environ["APP"]
        else:
            os.environ["APP"] = before
