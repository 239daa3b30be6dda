"""Run a fake AWS on the loopback, in its own process, that sends recorded responses at once."""

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


class LoopbackAws:
    """A handle to the server process."""

    def __init__(self, port: int, pipe: Connection) -> None:
        self.endpoint_url = f"http://127.0.0.1:{port}"
        self._pipe = pipe

    def requests(self) -> Counter[str]:
        """Return the number of calls of each operation since the last call of this method."""
        self._pipe.send(None)
        counted: Counter[str] = self._pipe.recv()
        return counted


@contextmanager
def loopback_aws(recording: Sequence[Exchange]) -> Iterator[LoopbackAws]:
    """Run the server for the duration of the with statement."""
    our_end, server_end = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=[server_end, recording], daemon=True
    )
    process.start()
    try:
        yield LoopbackAws(our_end.recv(), our_end)
    finally:
        process.terminate()
        process.join()


def _serve(pipe: Connection, recording: Sequence[Exchange]) -> None:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.learn(recording)
        pipe.send(server.server_port)
        server.count_for(pipe)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def learn(self, recording: Sequence[Exchange]) -> None:
        """Load the responses of a recording."""
        self.counted: Counter[str] = Counter()
        self.answers = {
            _key(each.operation, each.request): each.response.encode() for each in recording
        }

    def count_for(self, pipe: Connection) -> None:
        """Serve requests. For each message on the pipe, send the counts and start again at 0."""
        threading.Thread(target=self.serve_forever, daemon=True).start()
        while True:
            pipe.recv()
            pipe.send(self.counted)
            self.counted = Counter()


def _key(operation: str, request: str) -> str:
    """Return the key under which a response is stored.

    It is the operation, followed by an update's expression, which tells apart the two updates of a
    run. The items aren't part of the key, because they differ between dispatches.
    """
    expression = re.search(r'"UpdateExpression": *"([^"]*)"', request)
    return f"{operation} {expression[1]}" if expression else operation


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Send the head and the body in one packet. A second packet would wait for an acknowledgment.
    wbufsize = -1
    server: _Server

    def do_POST(self) -> None:
        """Send the recorded response to an operation, and count the call."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        target = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        operation = target or "Invoke"
        self.server.counted[operation] += 1
        answer = self.server.answers.get(_key(operation, body))
        if answer and operation == "UpdateItem":
            answer = _with_claim_token(body, answer)
        status = 501 if answer is None else 202 if operation == "Invoke" else 200
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(answer or b"")))
        self.end_headers()
        self.wfile.write(answer or b"")

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _with_claim_token(request: str, recorded: bytes) -> bytes:
    """Put the claim token of an update's request, if any, into the recorded response.

    The worker treats its claim as lost if the row in the response has another token.
    """
    update, answer = json.loads(request), json.loads(recorded)
    for name, value in re.findall(r"(#\w+) = (:\w+)", update["UpdateExpression"]):
        if update["ExpressionAttributeNames"][name] == "claim_token":
            answer["Attributes"]["claim_token"] = update["ExpressionAttributeValues"][value]
    return json.dumps(answer).encode()
