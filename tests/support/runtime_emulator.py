"""Runs a handler of the built tree under SAM's Runtime Interface Emulator."""

import json
import os
import platform
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emulated_aws.emulator import start_group, stop_group
from job_runners.places import ROOT

_START_SECONDS = 60


class RuntimeEmulator:
    """One function, invoked as Lambda would, one event at a time."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"

    def invoke(self, event: object) -> Any:
        """Return what the handler returned, or {"errorType", "errorMessage"} of what it raised."""
        request = urllib.request.Request(self._url, json.dumps(event).encode())
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.loads(response.read() or b"null")


@contextmanager
def runtime_emulator(
    handler: str, tree: Path, variables: Mapping[str, str], log: Path
) -> Iterator[RuntimeEmulator]:
    """Start the emulator with the handler; it is stopped at the end."""
    port, runtime_port = _free_ports()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tree),  # before awslambdaric's own environment
        "LAMBDA_TASK_ROOT": str(tree),
        "AWS_LAMBDA_FUNCTION_NAME": "function",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "60",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        **variables,
    }
    command = [str(_program()), "--log-level", "error"]
    command += ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    command += ["--runtime-api-address", f"127.0.0.1:{runtime_port}"]
    command += [sys.executable, "-m", "awslambdaric", handler]
    with log.open("wb") as output:
        process = start_group(command, environment, tree, output)
        try:
            _await(port, process)
            yield RuntimeEmulator(port)
        finally:
            stop_group(process.pid, process)


def _program() -> Path:
    name = f"aws-lambda-rie-{'arm64' if platform.machine() in {'arm64', 'aarch64'} else 'x86_64'}"
    (found,) = ROOT.glob(f".venv-aws/lib/python3*/site-packages/samcli/local/rapid/{name}")
    return found


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError("the Runtime Interface Emulator did not start")
