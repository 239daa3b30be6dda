"""Dramatiq: an actor through SQS."""

import os
import sys

import dramatiq
from dramatiq.cli import main as dramatiq_main
from dramatiq_sqs import SQSBroker

from measuring import measure
from work_unit import PAYLOAD, note

QUEUE = "dramatiq"

dramatiq.set_broker(SQSBroker(visibility_timeout=int(os.environ.get("VISIBILITY", "43200"))))


@dramatiq.actor(queue_name=QUEUE)
def work(notes: str, seconds: float, name: str) -> None:
    """Note the start."""
    note(notes, seconds, name)


def dispatch(units: int) -> None:
    """Measure a dispatch."""
    measure(lambda: work.send("", 0, PAYLOAD["name"]), units)


def send(notes: str, seconds: str, *names: str) -> None:
    """Send a message for each name, and print its id."""
    for name in names:
        print(work.send(notes, float(seconds), name).message_id)


def serve() -> None:
    """Work until killed."""
    sys.argv[1:] = ["dramatiq_program", "--processes", "1", "--threads", "1"]
    dramatiq_main()
