"""How fast the machine is at the moment. Tests that need real time derive their times from it."""

import subprocess
import sys
import time


def seconds_to_start_python() -> float:
    """Time a process that imports what a worker does: 0.2 s on a quiet machine."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import boto3, pydantic, pynamodb.models"], check=True)
    return time.monotonic() - began
