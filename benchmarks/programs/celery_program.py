"""Celery: a task through SQS, with its result in DynamoDB."""

import os

from celery import Celery

from measuring import measure
from work_unit import PAYLOAD, note, queue_url

QUEUE, TABLE = "celery", "celery_results"

app = Celery("celery_program", broker="sqs://", backend=f"dynamodb://@us-east-1/{TABLE}")
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "region": "us-east-1",
        "predefined_queues": {QUEUE: {"url": queue_url(QUEUE)}},
        "visibility_timeout": int(os.environ.get("VISIBILITY", "1800")),
        "wait_time_seconds": 1,
    },
    task_default_queue=QUEUE,
    worker_send_task_events=False,
)


@app.task
def work(notes: str, seconds: float, name: str) -> str:
    """Note the start."""
    note(notes, seconds, name)
    return name


@app.task(acks_late=True, reject_on_worker_lost=True)
def acknowledged_late(notes: str, seconds: float, name: str) -> str:
    """Note the start. The message is deleted only afterwards, so the task may run twice."""
    note(notes, seconds, name)
    return name


def dispatch(units: int) -> None:
    """Measure a dispatch."""
    measure(lambda: work.delay("", 0, PAYLOAD["name"]), units)


def send(task: str, notes: str, seconds: str, *names: str) -> None:
    """Dispatch a task for each name, and print its id."""
    for name in names:
        print(app.tasks[f"celery_program.{task}"].delay(notes, float(seconds), name).id)


def status(task_id: str) -> None:
    """Print a task's status in the backend."""
    print(app.AsyncResult(task_id).status)


def serve() -> None:
    """Work until killed."""
    app.worker_main(
        [
            "worker",
            "--loglevel",
            "WARNING",
            "--concurrency",
            "1",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
        ]
    )
