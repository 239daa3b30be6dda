"""The peers that are measured. Each has its own environment, made from its own lock.

benchmarks/peers/ has the requirements of each peer, and its lock with versions and hashes. `make
lock-peers` updates the locks.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from benchmarks.environment import PROGRAMS
from benchmarks.units import Unit
from job_runners.places import CODE

LOCKS = CODE / "benchmarks" / "peers"
_ENVIRONMENTS = CODE / ".bench"


class NotInstalled(Exception):
    """A peer's environment could not be made. The page then gives the reason."""


@dataclass(frozen=True)
class Peer:
    """A library that is an alternative to Job Runners."""

    title: str
    lock: str  # the name of the peer's lock and of its environment
    packages: tuple[str, ...]  # the packages whose versions the page shows

    @property
    def interpreter(self) -> Path:
        """The Python of the peer's environment."""
        return _ENVIRONMENTS / self.lock / "bin" / "python"

    @property
    def packages_folder(self) -> Path:
        """The folder with the packages of the peer's environment."""
        minor = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        return _ENVIRONMENTS / self.lock / "lib" / minor / "site-packages"

    @property
    def versions(self) -> str:
        """The installed versions, as text."""
        found = {
            each.name.lower(): each.version
            for each in distributions(path=[str(self.packages_folder)])
        }
        return ", ".join(f"{name} {found[name]}" for name in self.packages)

    def install(self) -> None:
        """Make the peer's environment with this Python. Raises NotInstalled."""
        _ENVIRONMENTS.mkdir(exist_ok=True)
        command = ["sh", "tools/make_environment.sh", f".bench/{self.lock}"]
        done = subprocess.run(
            [*command, str((LOCKS / f"{self.lock}.txt").relative_to(CODE))],
            cwd=CODE,
            env=os.environ | {"PYTHON": sys.executable},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines()
            raise NotInstalled(lines[-1] if lines else f"exit code {done.returncode}")

    def unit(self, call: str, *arguments: str) -> Unit:
        """Return the unit of work of `call`, a function in one of the peer's programs."""
        return Unit(call, arguments, self.interpreter, {"PYTHONPATH": str(PROGRAMS)})


ZAPPA = Peer("Zappa", "zappa", ("zappa", "boto3"))
CELERY = Peer("Celery, SQS and DynamoDB", "celery", ("celery", "kombu", "boto3"))
DRAMATIQ = Peer("Dramatiq, SQS", "dramatiq", ("dramatiq", "dramatiq-sqs", "boto3"))
FASTAPI = Peer("FastAPI with Mangum", "fastapi", ("fastapi", "mangum", "pydantic"))
DURABLE = Peer("AWS durable functions", "durable", ("aws-durable-execution-sdk-python", "boto3"))
PEERS = (ZAPPA, CELERY, DRAMATIQ, FASTAPI, DURABLE)
