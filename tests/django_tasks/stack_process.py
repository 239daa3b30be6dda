"""A stack in a process: its API on the loopback, and a worker that works when it is told to."""

import json
import logging
import os
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import wsgi_api
from job_runners.store.job_request import JobRequest
from job_runners.testing.job_runner import InlineRunner, inline_runner
from job_runners.testing.movable_clock import MovableClock
from job_runners.testing.plain_clients import every_row

_ORDERS = "/__/"


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def _obey(order: str, runner: InlineRunner, clock: MovableClock) -> str:
    match order.partition("/"):
        case "drain", _, _:
            runner.drain()
        case "due", _, _:
            runner.run_due()
        case "empty", _, _:
            for row in every_row(JobRequest):
                row.delete()
        case "advance", _, seconds:
            clock.advance(float(seconds))
        case "logs", _, _:
            return " ".join(type(each).__name__ for each in logging.getLogger().handlers)
        case "connections", _, _:
            from django.db import connections

            every = connections.all(initialized_only=True)
            return json.dumps([each.connection is not None for each in every])
    return "done"


def main() -> None:
    """Serve until the process is terminated."""
    clock = MovableClock()
    with inline_runner(clock, {"JOBS_PACKAGES": os.environ.get("JOBS", "acme")}) as runner:

        def application(environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
            path = environ["PATH_INFO"]
            if not path.startswith(_ORDERS):
                return wsgi_api.application(environ, start)
            answer = _obey(path.removeprefix(_ORDERS), runner, clock)
            start("200 OK", [])
            return [answer.encode()]

        with make_server("127.0.0.1", 0, application, handler_class=_Quiet) as server:
            print(server.server_port, flush=True)  # noqa: T201 - for the parent process
            server.serve_forever()


if __name__ == "__main__":
    main()
