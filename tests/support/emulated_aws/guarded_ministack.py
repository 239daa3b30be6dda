"""Run ministack behind the guard: python guarded_ministack.py CODE ADDRESS...

Run it with the interpreter of .venv-aws, which has ministack but none of our other packages. CODE
is a folder for the code of functions. The port is GATEWAY_PORT. AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY are this run's credentials.
"""

import asyncio
import logging
import os
import signal
import sys
from contextlib import nullcontext
from contextvars import ContextVar
from pathlib import Path
from threading import BoundedSemaphore
from types import ModuleType
from typing import Any

# Make only these two packages importable, and not the modules next to them. The functions that this
# process starts don't find the packages either.
del sys.path[0]
_HERE = Path(__file__).resolve().parent
for _name, _folder in (("emulated_aws", _HERE), ("job_runners", _HERE.parents[2] / "job_runners")):
    _package = ModuleType(_name)
    _package.__path__ = [str(_folder)]
    sys.modules[_name] = _package
from hypercorn.asyncio import serve  # noqa: E402
from hypercorn.config import Config  # noqa: E402
from ministack import app as ministack  # noqa: E402
from ministack.core import iam_evaluator, lambda_runtime  # noqa: E402
from ministack.services import lambda_svc  # noqa: E402

from emulated_aws.function_processes import share_code  # noqa: E402
from emulated_aws.guarded_app import GuardedApp, Message, Receive, Scope, Send  # noqa: E402
from emulated_aws.live_log import write_no_line_twice  # noqa: E402

_ACCOUNT = "000000000000"  # a function's access key, unless policies are enforced
_EVENTS_AT_ONCE = 4 * (os.cpu_count() or 2)  # asynchronous calls of functions


def secret_of(access_key: str) -> str | None:
    """Return the secret of this run's key, or of a session that was started with it."""
    if access_key in (os.environ["AWS_ACCESS_KEY_ID"], _ACCOUNT):
        return os.environ["AWS_SECRET_ACCESS_KEY"]
    if iam_evaluator.is_root_access_key(access_key):  # such as "test"
        return None
    found = iam_evaluator.resolve_credential(access_key, _ACCOUNT)
    return getattr(found, "secret_access_key", None)


def authorization_of(method: str, path: str) -> str | None:
    """Return the authorization type that API Gateway requires for a route; None if there is no
    route."""
    parsed = ministack._parse_execute_api_url("", path)
    if parsed is None:
        return None
    api, first, rest = parsed
    stage, route = ministack._resolve_stage_and_path(api, first, rest)
    authorization: str | None = ministack._execute_api_authorization_type(api, stage, method, route)
    return authorization


def hide_credentials_of_roles() -> None:
    """Make the credentials of a role's functions depend on this run's secret.

    ministack derives them only from the names of the function and the role, which are the same in
    every run. It takes the role's name from the text after the last slash.
    """
    derive = lambda_runtime.execution_credentials
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]

    def credentials(config: dict[str, Any]) -> dict[str, str]:
        role = config.get("Role", "").replace(":role/", f":role/{secret}/")
        derived: dict[str, str] = derive({**config, "Role": role})
        return derived

    lambda_runtime.execution_credentials = credentials


def take_concurrency_as_a_number() -> None:
    """Convert the maximum concurrency of an event source to a number.

    ministack keeps the value of a template's parameter as text, and can't compare text with a
    number. Then it stops delivering the messages of all queues.
    """
    limit = lambda_svc._sqs_esm_concurrency

    def limit_of(source: dict[str, Any], *rest: Any) -> int:
        scaling = source.get("ScalingConfig") or {}
        if "MaximumConcurrency" in scaling:
            scaling["MaximumConcurrency"] = int(scaling["MaximumConcurrency"])
        number: int = limit(source, *rest)
        return number

    lambda_svc._sqs_esm_concurrency = limit_of


def queue_events() -> None:
    """Make asynchronous calls of functions wait while several of them run.

    On AWS, Lambda queues these calls. ministack runs them all at once, in a process each. So a job
    that dispatches hundreds of others would keep the machine busy with processes that start.
    """
    run, send = lambda_svc._execute_function, lambda_svc.invoke_async_with_retry
    is_event, free = ContextVar("is_event", default=False), BoundedSemaphore(_EVENTS_AT_ONCE)

    def send_event(function: dict[str, Any], event: dict[str, Any]) -> None:
        token = is_event.set(True)
        try:
            send(function, event)  # the thread of the call gets a copy of the context
        finally:
            is_event.reset(token)

    def run_when_free(function: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
        with free if is_event.get() else nullcontext():
            result: dict[str, Any] = run(function, event)
            return result

    lambda_svc._execute_function = run_when_free
    lambda_svc.invoke_async_with_retry = send_event


def main() -> None:
    """Serve until stopped."""
    port, (code, *addresses) = int(os.environ["GATEWAY_PORT"]), sys.argv[1:]
    hide_credentials_of_roles()
    take_concurrency_as_a_number()
    queue_events()
    write_no_line_twice()
    share_code(Path(code))
    config = Config()
    config.bind = [f"{address}:{port}" for address in ("127.0.0.1", *addresses)]
    config.keep_alive_timeout = 75  # the same as ministack's
    asyncio.run(serve_until_stopped(config, port, addresses))


async def serve_until_stopped(config: Config, port: int, addresses: list[str]) -> None:
    """Serve, and end this process as soon as ministack has shut down and saved what must be kept.

    It doesn't wait for open requests, because one poll of a queue would delay the end by 20 s.
    """
    stopping = asyncio.Event()
    never = asyncio.Event()  # hypercorn's own shutdown, which would wait for open requests
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, stopping.set)

    async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
        messages = iter([await receive()])  # the startup message

        async def receive_next() -> Message:
            for message in messages:
                return message
            await stopping.wait()
            return {"type": "lifespan.shutdown"}

        async def send_or_end(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                logging.shutdown()
                os._exit(0)
            await send(message)

        await ministack.app(scope, receive_next, send_or_end)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        application = lifespan if scope["type"] == "lifespan" else ministack.app
        await application(scope, receive, send)

    guard = GuardedApp(app, port, secret_of, authorization_of, addresses)
    await serve(guard, config, shutdown_trigger=never.wait)


if __name__ == "__main__":
    main()
