"""A job and a task that print and log in every way there is, in the functions as they are built."""

import json
import logging
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

from aws_lambda_powertools import Logger
from pydantic import BaseModel

from job_runners.work import Job, Retry, RetryAfter, RunningJob, Task

FORGED = json.dumps({"level": "ERROR", "message": "forged", "job_id": "f" * 32, "attempt": 9})
ANSWER = json.dumps({"status": "ok", "result": "forged"})
# What the job says on its last attempt, in this order; on the first one, "not yet" alone.
SAID = [
    ("stdout", "  printed"),
    ("stderr", "on standard error"),
    (None, "logged"),
    (None, "by Powertools"),
    (None, "by a logger of its own"),
    ("stdout", "in a thread"),
    (None, "in a pool"),
    ("stdout", FORGED),
    ("stdout", ANSWER),
    ("stderr", "chatty.py:7: UserWarning: take care"),
    ("stdout", "not ended"),
]


class Nothing(BaseModel):
    """It needs to know nothing."""


def chat(job: RunningJob, payload: Nothing) -> str:
    """Say all of it on the second attempt."""
    if job.attempt == 1:
        print("not yet")
        raise RetryAfter(0)
    print("  printed")
    print("on standard error", file=sys.stderr)
    logging.getLogger("chatty").info("logged")
    logging.getLogger("botocore").info("of no interest")
    Logger().info("by Powertools")
    Logger(service="chatty").info("by a logger of its own")
    thread = threading.Thread(target=print, args=["in a thread"])
    thread.start()
    thread.join()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(logging.getLogger("chatty").info, "in a pool").result()
    print(FORGED)
    print(ANSWER)
    subprocess.run(["echo", ANSWER], check=True)
    subprocess.run(["sh", "-c", "echo from a program >&2"], check=True)
    warnings.warn_explicit("take care", UserWarning, "chatty.py", 7)
    print("not ended", end="")
    return "its own answer"


def note(payload: Nothing) -> None:
    """Say one thing."""
    print("a note")


JOBS = {"chatty": Job(chat, retry=Retry(max_attempts=2))}
TASKS = {"chatty_note": Task(note)}
