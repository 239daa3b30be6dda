"""An AWS on the loopback, in a process of its own, that gives recorded answers at once."""

import json
import multiprocessing
import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection

from benchmarks.recording import Exchange

# What a peer asks that the recording has no answer to.
_QUEUE = {"QueueUrl": "http://127.0.0.1:{port}/123456789012/celery"}
_ANSWERS = {
    "GetQueueUrl": _QUEUE,
    "CreateQueue": _QUEUE,
    "ListQueues": {"QueueUrls": [_QUEUE["QueueUrl"]]},
    "GetQueueAttributes": {"Attributes": {"ApproximateNumberOfMessages": "0"}},
    "SendMessage": {"MessageId": "0" * 32},
}


class LoopbackAws:
    """The server, seen from outside."""

    def __init__(self, port: int, ask: Connection) -> None:
        self.endpoint_url = f"http://127.0.0.1:{port}"
        self._ask = ask

    def requests(self) -> Counter[str]:
        """Return how often each operation was called since this was asked last."""
        self._ask.send(None)
        counted: Counter[str] = self._ask.recv()
        return counted


@contextmanager
def loopback_aws(recording: Sequence[Exchange]) -> Iterator[LoopbackAws]:
    """Serve while the with statement lasts."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=[theirs, recording], daemon=True
    )
    process.start()
    try:
        yield LoopbackAws(ours.recv(), ours)
    finally:
        process.terminate()
        process.join()


def _serve(told: Connection, recording: Sequence[Exchange]) -> None:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.learn(recording)
        told.send(server.server_port)
        server.count_for(told)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def learn(self, recording: Sequence[Exchange]) -> None:
        """Take the answers of a recording; an update's go by what it updates."""
        self.counted: Counter[str] = Counter()
        self.answers = {
            name: json.dumps(answer).replace("{port}", str(self.server_port)).encode()
            for name, answer in _ANSWERS.items()
        }
        for each in recording:
            self.answers[_key(each.operation, each.request)] = each.response.encode()

    def count_for(self, told: Connection) -> None:
        """Serve, and tell what was counted whenever that is asked."""
        threading.Thread(target=self.serve_forever, daemon=True).start()
        while True:
            told.recv()
            told.send(self.counted)
            self.counted = Counter()


def _key(operation: str, request: str) -> str:
    """Return what an answer is found by. Every dispatch puts another row; the two updates of a run
    differ in their expression."""
    expression = re.search(r'"UpdateExpression": *"([^"]*)"', request)
    return f"{operation} {expression[1]}" if expression else operation


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: in two, the second waits for an acknowledgement
    server: _Server

    def do_POST(self) -> None:
        """Answer an operation as recorded, and count it."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        target = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        operation = target or ("Invoke" if "/functions/" in self.path else _of_form(body))
        self.server.counted[operation] += 1
        answer = self.server.answers.get(_key(operation, body))
        if answer and operation == "UpdateItem":
            answer = _with_its_token(body, answer)
        status = 501 if answer is None else 202 if operation == "Invoke" else 200
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(answer or b"")))
        self.end_headers()
        self.wfile.write(answer or b"")

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _with_its_token(request: str, recorded: bytes) -> bytes:
    """Return the recorded answer to an update with the token that this one sets, if it does: a
    claim whose row has another token is none."""
    asked, answer = json.loads(request), json.loads(recorded)
    for name, value in re.findall(r"(#\w+) = (:\w+)", asked["UpdateExpression"]):
        if asked["ExpressionAttributeNames"][name] == "claim_token":
            answer["Attributes"]["claim_token"] = asked["ExpressionAttributeValues"][value]
    return json.dumps(answer).encode()


def _of_form(body: str) -> str:
    found = re.search(r"Action=(\w+)", body)
    return found[1] if found else "unknown"
