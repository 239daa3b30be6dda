"""Manage the folder .local, which exists only while a local AWS runs. Only one run can use it.

Its files let other programs use the local AWS: env.json is for sam local, and env.sh is for shells
and the AWS tools in them.
"""

import contextlib
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from job_runners.cli.local_aws import HOME, STACK_FILE
from job_runners.cli.stack import Stack, write_private
from job_runners.local.options import LocalProblem
from job_runners.places import DATA

KEPT_FOLDER = HOME.with_name(f"{HOME.name}.kept")  # for `job-runners run --keep`
KEPT_STATE = "state.jsonl"  # a file in this folder, whose first line has the port
# The name by which a container reaches its host.
CONTAINER_HOST = "host.docker.internal"
_ENV_FILES = ("env.json", "env.sh")


def kept_port() -> int:
    """Return the port of the run that kept data, or 0. Links in the data have this port."""
    try:
        with (KEPT_FOLDER / KEPT_STATE).open(encoding="utf-8") as file:
            return int(json.loads(file.readline())["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


@contextlib.contextmanager
def exclusive_folder(home: Path = HOME) -> Iterator[Path]:
    """Yield `home` as an empty folder that only this run uses, and remove it at the end.

    If an earlier run was killed, remove its files first. Raises LocalProblem if another run is up.
    """
    # Lock the parent folder, which always exists. The system releases the lock when this process
    # ends, even if it is killed.
    folder = os.open(home.parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalProblem(_already_up_message(home)) from None
        if home.exists():
            shutil.rmtree(home)
        home.mkdir(mode=0o700)  # it contains the credentials of the run
        try:
            yield home
        finally:
            # If a program still adds files, the next run removes them.
            shutil.rmtree(home, ignore_errors=True)
    finally:
        os.close(folder)


@contextlib.contextmanager
def announce(stack: Stack, home: Path) -> Iterator[None]:
    """Write the stack's address and credentials to `home` during the with statement."""
    try:
        stack.save(home / STACK_FILE)
        _save_env_files(stack, home)
        yield
    finally:
        for name in (STACK_FILE, *_ENV_FILES):
            (home / name).unlink(missing_ok=True)


def _already_up_message(home: Path) -> str:
    try:
        url = json.loads((home / STACK_FILE).read_text())["api_url"]
    except (FileNotFoundError, json.JSONDecodeError):
        return f"The local AWS of {home.parent} is starting, or stopping. Try again in a moment."
    return (
        f"The local AWS of {home.parent} is already up at {url}. "
        "Use that one, or stop it with Ctrl-C in its terminal."
    )


@dataclass(frozen=True)
class Credentials:
    """An access key and its secret."""

    access_key_id: str
    secret_access_key: str = field(repr=False)

    @staticmethod
    def random() -> "Credentials":
        """Return new credentials that can't be guessed."""
        return Credentials(f"LOCAL{secrets.token_hex(8).upper()}", secrets.token_hex(20))

    @property
    def variables(self) -> dict[str, str]:
        """The credentials as environment variables, which every AWS tool reads."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
        }


def credentials(stack: Stack) -> Credentials:
    """Return the credentials of a stack on the local AWS."""
    return Credentials(stack.aws_access_key_id, stack.aws_secret_access_key)


def env_variables(stack: Stack, host: str = CONTAINER_HOST) -> dict[str, str]:
    """Return the variables in events/env.json with a stack's values.

    `host` is this machine's name for the program that reads them.
    """
    template: dict[str, str] = json.loads((DATA / "events" / "env.json").read_text())["Parameters"]
    endpoint = f"http://{host}:{urlsplit(stack.endpoint_url).port}"
    return template | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ENDPOINT_URL_LAMBDA": endpoint,
        "JOBS_TABLE_NAME": stack.table_name,
        "COORDINATION_TABLE_NAME": stack.coordination_table_name,
        "APP_SETTINGS_PATH": f"/{stack.name}/app",
        "BUCKET_NAME": stack.bucket_name,
        "DELAY_QUEUE_URL": endpoint + urlsplit(stack.delay_queue_url).path,
    }


def _save_env_files(stack: Stack, folder: Path) -> None:
    """Write both files."""
    text = json.dumps({"Parameters": env_variables(stack)}, indent=2) + "\n"
    write_private(folder / "env.json", text)
    exports = credentials(stack).variables | {
        "AWS_REGION": stack.region,
        "AWS_DEFAULT_REGION": stack.region,
        "AWS_ENDPOINT_URL": stack.endpoint_url,
        "JOB_RUNNERS_STACK": stack.name,
    }
    lines = [f"export {name}={value}" for name, value in exports.items()]
    write_private(folder / "env.sh", "\n".join([*lines, "unset AWS_PROFILE AWS_SESSION_TOKEN", ""]))
