"""What a dispatch costs its caller: `python -m benchmarks.dispatch`.

CPU of this process for each job and each task, against the same calls made with bare boto3. AWS is
a server on the loopback, in a process of its own, that answers at once. Rounds take turns, and of
each the least is taken. Compare the ratios: the times are this machine's.
"""

import argparse
import json
import multiprocessing
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection

import boto3

from benchmarks.environment import ENVIRONMENT, WORKER

_PAYLOAD = {"key": "uploads/default/contacts.csv", "country": "US"}
_TASK = {"cell": "+12125550123", "text": "Polls close at 8."}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dispatch", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--units", type=int, default=200, help="dispatches in a round")
    given = parser.parse_args()
    with _aws() as endpoint_url:
        os.environ.clear()
        os.environ.update(ENVIRONMENT | {"AWS_ENDPOINT_URL": endpoint_url})
        ours, bare = _ours(), _bare()
        least = dict.fromkeys([*ours, *bare], float("inf"))
        for _ in range(given.rounds):
            for name, dispatch in (ours | bare).items():
                least[name] = min(least[name], _cpu(dispatch, given.units))
    for unit in ("job", "task"):
        peer = least[f"bare {unit}"]
        print(f"{least[unit] / peer:5.2f}  {least[unit] * 1e6:5.0f} us CPU  {unit} dispatched")
        print(f" 1.00  {peer * 1e6:5.0f} us CPU  the same calls with bare boto3")


def _ours() -> dict[str, Callable[[], object]]:
    from runners import get_job_runner  # after the environment it reads
    from runners.base import JobData

    runner = get_job_runner()
    job = {"job_type": "import_contacts", "campaign_id": "spring", "payload": _PAYLOAD}
    return {
        "job": lambda: runner.dispatch_job(JobData.model_validate(job)),
        "task": lambda: runner.dispatch_task("send_message", _TASK),
    }


def _bare() -> dict[str, Callable[[], object]]:
    """Someone's own few lines: save an item unless it is there, invoke, close the answer."""
    dynamodb, functions = boto3.client("dynamodb"), boto3.client("lambda")

    def invoke(message: dict[str, object]) -> None:
        answer = functions.invoke(
            FunctionName=WORKER, InvocationType="Event", Payload=json.dumps(message)
        )
        answer["Payload"].read()

    def job() -> None:
        job_id = uuid.uuid4().hex
        dynamodb.put_item(
            TableName="jobs",
            Item={
                "id": {"S": job_id},
                "status": {"S": "queued"},
                "payload": {"S": json.dumps(_PAYLOAD)},
                "created_at": {"N": str(time.time_ns() // 1_000_000)},
            },
            ConditionExpression="attribute_not_exists(id)",
        )
        invoke({"id": job_id})

    return {
        "bare job": job,
        "bare task": lambda: invoke({"name": "send_message", "payload": _TASK}),
    }


def _cpu(dispatch: Callable[[], object], units: int) -> float:
    dispatch()  # connected
    began = time.process_time()
    for _ in range(units):
        dispatch()
    return (time.process_time() - began) / units


class _Aws(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        invoked = self.path.startswith("/2015-03-31/functions/")
        self.send_response(202 if invoked else 200)
        self.send_header("Content-Length", "0" if invoked else "2")
        self.end_headers()
        self.wfile.write(b"" if invoked else b"{}")

    def log_message(self, *_: object) -> None:
        pass


def _serve(told: Connection) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Aws) as server:
        told.send(server.server_port)
        server.serve_forever()


@contextmanager
def _aws() -> Iterator[str]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=[theirs], daemon=True
    )
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


if __name__ == "__main__":
    main()
