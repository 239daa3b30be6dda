"""Starts and stops ministack, which stands in for AWS, behind the guard on a port of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from job_runners.cli.local_aws import REGION
from local.credentials import Credentials
from local.kept import Kept
from local.problem import LocalProblem

PROCESS_FILE = "ministack.pid"
CODE_FOLDER = "code"  # what functions run

_PROGRAM = Path(__file__).resolve().parent / "guarded_ministack.py"
_TOOLS = _PROGRAM.parent.parent / ".venv-aws" / "bin"
# Ends the group that it leads once nobody holds the other end of its standard input any more: this
# process, however it ends.
_LEASH = 'exec 3<&0; (cat <&3 >/dev/null; kill -TERM 0) & exec "$@" </dev/null 3<&-'
_START_SECONDS = 60
_STOP_SECONDS = 2  # then it is made to: without KEEP=1 it has nothing to save
_SAVE_SECONDS = 120  # for what is kept
_ATTEMPTS = 3  # another program may take the port between our look and ministack's start


@dataclass(frozen=True)
class Emulator:
    """A running ministack, the leader of a process group of its own."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    credentials: Credentials

    @property
    def endpoint_url(self) -> str:
        """Where every AWS client finds it."""
        return f"http://127.0.0.1:{self.port}"


def tool(name: str) -> Path:
    """Return a program of the environment that holds sam and ministack."""
    path = _TOOLS / name
    if not path.exists():
        raise LocalProblem(f"{path} is not there; run this through make, which installs it")
    return path


def tool_environment(home: Path, credentials: Credentials) -> dict[str, str]:
    """Return an environment without the caller's AWS settings, whose tools write only under
    `home`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    temporary = home / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return (
        kept
        | credentials.variables
        | {
            "AWS_CONFIG_FILE": str(home / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(home / "no-credentials"),
            "AWS_DEFAULT_REGION": REGION,
            "TMPDIR": str(temporary),
        }
    )


@contextlib.contextmanager
def emulator(
    home: Path,
    *,
    enforcing: bool = False,
    addresses: Sequence[str] = (),
    kept: Kept | None = None,
) -> Iterator[Emulator]:
    """Run ministack with its files under `home`, and stop it and all its workers at the end.

    `enforcing`: it refuses what the policies of a role do not allow. `addresses` are those of this
    machine that it listens on beside loopback. `kept` is what it begins with, and
    what it saves at its end.
    """
    running = _start(home, enforcing, addresses, kept)
    if kept:
        kept.begin()
    try:
        yield running
    finally:
        seconds = _SAVE_SECONDS if kept else _STOP_SECONDS
        stop_group(running.process.pid, running.process, seconds)
        if kept:
            kept.end()


def _start(home: Path, enforcing: bool, addresses: Sequence[str], kept: Kept | None) -> Emulator:
    settings = {"AUTH": "true" if enforcing else "false"} | (kept.settings if kept else {})
    for _ in range(_ATTEMPTS):
        port = kept.port(_free_port) if kept else _free_port()
        started = _start_on(port, home, settings, addresses)
        try:
            if _becomes_healthy(started):
                return started
        except BaseException:
            stop_group(started.process.pid, started.process)
            raise
        stop_group(started.process.pid, started.process)
    last_words = started.log.read_text(errors="replace").strip()[-2000:]
    raise LocalProblem(f"ministack did not start. Its last words:\n{last_words}")


def _start_on(
    port: int, home: Path, settings: Mapping[str, str], addresses: Sequence[str]
) -> Emulator:
    credentials = Credentials.random()
    environment = tool_environment(home, credentials) | {
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",  # it would open a second port, on every interface
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        **settings,
    }
    log = home / "ministack.log"
    with log.open("wb") as output:
        command = [str(tool("python")), str(_PROGRAM), str(home / CODE_FOLDER), *addresses]
        process = start_group(command, environment, home, output)
    # For the next run to stop it, should this one be killed outright.
    (home / PROCESS_FILE).write_text(str(process.pid))
    return Emulator(process, port, log, credentials)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _becomes_healthy(started: Emulator) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and started.process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            health = f"{started.endpoint_url}/_ministack/health"
            with urllib.request.urlopen(health, timeout=2) as response:  # noqa: S310  (loopback)
                if response.status == 200:
                    return True
        time.sleep(0.05)
    return False


def start_group(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, output: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a program that leads a process group, for `stop_group` to end.

    It has its own session: Ctrl-C in the terminal reaches us alone, and we stop it in order. Should
    this process be killed outright, the group ends too.
    """
    return subprocess.Popen(
        ["sh", "-c", _LEASH, "sh", *command],
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def stop_group(
    leader: int,
    process: subprocess.Popen[bytes] | None = None,
    seconds: float = _STOP_SECONDS,
) -> None:
    """End a process group that we started: asked first, made to after 2 s. Its leader has as many
    seconds as are given, if we are its parent (`process`)."""
    if process is not None and process.stdin is not None:
        process.stdin.close()
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, sent)
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
        deadline = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < deadline:
            if process is not None:
                process.poll()  # a leader that nobody reaps would count as alive
            if not _alive(leader):
                return
            time.sleep(0.05)


def _alive(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True
