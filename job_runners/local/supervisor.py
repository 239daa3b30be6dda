"""Run a local stack: the services, the functions, and what is shown in the terminal."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from job_runners.cli.signing_proxy import signing_proxy
from job_runners.local import services
from job_runners.local.code_changes import CodeChanges, describe
from job_runners.local.credentials import Credentials
from job_runners.local.event_sources import pollers, tick
from job_runners.local.function_pools import BrokenCode, Functions, Template
from job_runners.local.function_settings import FAILURES, STAGE, FunctionSettings
from job_runners.local.gateway import Gateway
from job_runners.local.guard import Guard, Head
from job_runners.local.http_server import HttpServer
from job_runners.local.job_stream import JobStream
from job_runners.local.options import Options
from job_runners.local.problem import LocalProblem
from job_runners.local.run_folder import announced
from job_runners.local.screen import Steps, suggest
from job_runners.local.services import Answer, Services
from job_runners.local.stack_answers import StackAnswers
from job_runners.local.stack_api import signer
from job_runners.local.start import Start

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NAME_CHARACTERS = 4  # of a job's id that are shown


class Supervisor:
    """The parts of a running local stack."""

    def __init__(
        self,
        settings: FunctionSettings,
        credentials: Credentials,
        options: Options,
        stream: JobStream,
    ) -> None:
        self._settings, self._stream = settings, stream
        self.services = Services(settings)
        self.functions = Functions(
            settings,
            options.workers,
            self._show,
            self._report_crash,
            lambda record: services.put(FAILURES, record),
        )
        self._gateway = Gateway(settings, self.functions)
        self._answers = StackAnswers(settings, self.functions, self._gateway)
        secrets = {credentials.access_key_id: credentials.secret_access_key}
        guard = Guard(settings.port, secrets.get, self._gateway.authorization_of, options.addresses)
        self.server = HttpServer(guard, self._respond)

    def _show(self, function: str, lines: list[str]) -> None:
        if function != "import":
            self.services.logs.write(self._settings.log_group(function), lines)
        self._stream.show([(function, line) for line in lines])

    def _report_crash(self, function: str, event: Any, what: str) -> None:
        """Show whose process has ended, because it could not log its own end."""
        work = _name_of(event) or f"the {function} function"
        self._stream.note(f"{work} lost its process. {what}")

    async def load(self, template: Template) -> None:
        """Make a template's code the active code. Raises BrokenCode."""
        await template.load(self._show)
        await self.functions.use(template)
        if template.ready["threads"]:
            names = ", ".join(template.ready["threads"])
            self._stream.note(
                f"Your code starts threads when it is imported ({names}). So each process imports "
                "it again, and a start takes longer."
            )

    async def _respond(self, head: Head, headers: dict[str, str], body: bytes) -> Answer:
        service = _service(head, headers)
        try:
            if head.path.startswith(f"{STAGE}/"):
                is_signed = service == "execute-api"
                return await self._gateway.answer(head, headers, body, is_signed=is_signed)
            if head.path == "/_local/sms-messages":
                return services.sent_texts()
            found = await self._answers.answer(service, head, headers, body)
            if found is not None:
                return found
            target = f"{head.path}?{head.query}" if head.query else head.path
            return await self.services.answer(service, head.method, target, headers, body)
        except Exception as error:  # noqa: BLE001 - a call must not end the server
            self._stream.note(f"The local AWS can't answer a call of {service}: {error!r}")
            return 500, {}, b'{"message": "The local AWS has failed. Its terminal says why."}'


def _service(head: Head, headers: Mapping[str, str]) -> str:
    """Return the service that a signature is for: KEY/DATE/REGION/SERVICE/aws4_request."""
    header = headers.get("authorization", "")
    place = header.partition("Credential=")[2].partition(",")[0]
    if not place:
        named = head.query.partition("X-Amz-Credential=")[2].partition("&")[0]
        place = named.replace("%2F", "/").replace("%2f", "/")
    parts = place.split("/")
    return parts[3] if len(parts) > 3 else ""


def _name_of(event: Any) -> str:
    if not isinstance(event, dict):
        return ""
    name = event.get("job_type") or event.get("task_name") or event.get("name") or ""
    return f"{name} {str(event.get('id', ''))[:_NAME_CHARACTERS]}".strip()


async def supervise(
    settings: FunctionSettings,
    credentials: Credentials,
    options: Options,
    start: Start,
    first: Template,
    sockets: list[socket.socket],
    home: Path,
    stream: JobStream,
    steps: Steps,
) -> None:
    """Run the stack until a signal comes. Raises LocalProblem if the code can't be imported."""
    stop = _stop_event()
    supervisor = Supervisor(settings, credentials, options, stream)
    changes = CodeChanges(home, lambda: supervisor.load(start.template()), stream.note)
    tasks: list[asyncio.Task[Any]] = []
    try:
        await supervisor.server.start(sockets)
        if not await _unless(stop, supervisor.load(first)):
            return
        stack = settings.stack(credentials.access_key_id, credentials.secret_access_key, {})
        tasks += pollers(settings, supervisor.functions)
        tasks.append(asyncio.create_task(tick(supervisor.functions)))
        tasks.append(asyncio.create_task(changes.watch()))
        tasks.append(asyncio.create_task(_end_with_make(stop)))
        with signing_proxy(stack.api_url, signer(stack)) as dashboard, announced(stack, home):
            steps.end()
            suggest(stack, dashboard, options.addresses, first.ready, keeps=options.keep)
            await stop.wait()
    except BrokenCode as broken:
        raise LocalProblem(describe(broken)) from None
    finally:
        for task in tasks:
            task.cancel()
        supervisor.server.close()
        first.end()
        supervisor.functions.end()


async def _unless(stop: asyncio.Event, work: Any) -> bool:
    """Do the work. If the event comes first, cancel the work and return False."""
    doing, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait([doing, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if doing.done():
        await doing
        return True
    doing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await doing
    return False


def _stop_event() -> asyncio.Event:
    """Return an event that a signal sets. Further signals don't interrupt the end."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()

    for each in END_SIGNALS:
        loop.add_signal_handler(each, on_signal)
    return stop


async def _end_with_make(stop: asyncio.Event) -> None:
    """Stop if `make` was killed, because then no Ctrl-C can reach this process."""
    parent = os.getppid()
    while "MAKELEVEL" in os.environ and os.getppid() == parent:
        await asyncio.sleep(0.5)
    if "MAKELEVEL" in os.environ:
        stop.set()
