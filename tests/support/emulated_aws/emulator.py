"""Start and stop ministack, which stands in for AWS in tests of the real template.

ministack runs in a process of its own, behind the guard of the local AWS, which checks each
request (job_runners/local/guard.py).
"""

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

from job_runners.building.sam import tools_folder
from job_runners.cli.local_aws import REGION
from job_runners.local.options import LocalProblem
from job_runners.local.run_folder import Credentials

PROCESS_FILE = "ministack.pid"
CODE_FOLDER = "code"  # the code that functions run

_PROGRAM = Path(__file__).resolve().parent / "guarded_ministack.py"
# A shell script that runs a command, and ends its own process group as soon as our Python process
# has ended in any way. The Python process holds the other end of the script's standard input.
_LEASH = 'exec 3<&0; (cat <&3 >/dev/null; kill -TERM 0) & exec "$@" </dev/null 3<&-'
_START_SECONDS = 60
_STOP_SECONDS = 2  # seconds before ministack is killed
_ATTEMPTS = 3  # tries to start ministack, because another program may take the port first


@dataclass(frozen=True)
class Emulator:
    """A running ministack. It leads a process group of its own."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    credentials: Credentials

    @property
    def endpoint_url(self) -> str:
        """The URL for every AWS client."""
        return f"http://127.0.0.1:{self.port}"


def tool(name: str) -> Path:
    """Return the path of a program in the virtual environment that has sam and ministack."""
    path = tools_folder() / name
    if not path.exists():
        raise LocalProblem(f"{path} doesn't exist. To install it, run: make aws")
    return path


def tool_environment(home: Path, credentials: Credentials) -> dict[str, str]:
    """Return an environment without the caller's AWS settings, in which tools write only under
    `home`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    temporary = home / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return (
        inherited
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
) -> Iterator[Emulator]:
    """Run ministack with its files under `home`, and stop it and all its workers at the end.

    With `enforcing`, ministack refuses calls that a role's policies don't allow. It listens on
    loopback and on `addresses` of this machine.
    """
    running = _start(home, enforcing, addresses)
    try:
        yield running
    finally:
        stop_group(running.process.pid, running.process)


def _start(home: Path, enforcing: bool, addresses: Sequence[str]) -> Emulator:
    settings = {"AUTH": "true" if enforcing else "false"}
    for _ in range(_ATTEMPTS):
        started = _start_on(_free_port(), home, settings, addresses)
        try:
            if _wait_until_healthy(started):
                return started
        except BaseException:
            stop_group(started.process.pid, started.process)
            raise
        stop_group(started.process.pid, started.process)
    last_output = started.log.read_text(errors="replace").strip()[-2000:]
    raise LocalProblem(f"ministack did not start. Its last output:\n{last_output}")


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
    # If this process is killed, the next run reads this file and stops ministack.
    (home / PROCESS_FILE).write_text(str(process.pid))
    return Emulator(process, port, log, credentials)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_healthy(started: Emulator) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and started.process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            health = f"{started.endpoint_url}/_ministack/health"
            with urllib.request.urlopen(health, timeout=2) as response:
                if response.status == 200:
                    return True
        time.sleep(0.05)
    return False


def start_group(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, output: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a program that leads a process group, which `stop_group` ends.

    The program has its own session, so Ctrl-C in the terminal reaches only our Python process. Our
    process then stops the group. If our process is killed, the group ends too.
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
    """End a process group that we started: first with SIGTERM, and then with SIGKILL if needed.

    After each signal, the group has 2 seconds to end. If its leader is our child (`process`), the
    leader first has `seconds` to end.
    """
    if process is not None and process.stdin is not None:
        process.stdin.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader, number)
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
        deadline = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < deadline:
            if process is not None:
                process.poll()  # otherwise an ended leader would count as alive
            if not _group_exists(leader):
                return
            time.sleep(0.05)


def _group_exists(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True
