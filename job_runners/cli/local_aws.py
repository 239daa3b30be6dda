"""Find the local AWS that `job-runners run` starts, by the files that it writes to HOME."""

import fcntl
import os

from job_runners.cli.stack import Stack
from job_runners.places import LOCAL_AWS_PARENT

HOME = LOCAL_AWS_PARENT / ".local"  # exists only while the local AWS is up
STACK_FILE = "stack.json"  # in HOME: the stack's addresses

REGION = "us-east-1"


def running_stack() -> Stack | None:
    """Return the local AWS's stack while it is up, otherwise None."""
    file = HOME / STACK_FILE
    try:
        # This file decides where calls go. If others own it or can access it, it comes from another
        # user or from an archive, so ignore it.
        if file.stat().st_uid != os.getuid() or file.stat().st_mode & 0o077:
            return None
        return Stack.load(file)
    except FileNotFoundError:
        return None


def is_starting() -> bool:
    """Return whether a local AWS of this project is starting or stopping."""
    if not HOME.is_dir() or (HOME / STACK_FILE).exists():
        return False
    folder = os.open(HOME.parent, os.O_RDONLY)
    try:  # the lock is refused while `job-runners run` holds its own lock on the folder
        fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(folder)
    return False


def endpoint_url() -> str | None:
    """Return AWS_ENDPOINT_URL. Set by .local/env.sh, it makes AWS tools use the local AWS."""
    return os.environ.get("AWS_ENDPOINT_URL")
