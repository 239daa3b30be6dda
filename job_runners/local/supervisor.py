"""Run a local stack: start its services and functions, show their output, and stop them."""

import asyncio
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.status import Status

from job_runners.cli.log_lines import parse_fields
from job_runners.cli.signing_proxy import signing_proxy
from job_runners.cli.stack import Stack
from job_runners.client.credentials import Credentials as ClientCredentials
from job_runners.client.signing import Signer
from job_runners.fake_dynamodb.behind_moto import ACCOUNT, REGION
from job_runners.local import services
from job_runners.local.code_changes import CodeChanges, describe
from job_runners.local.function_pools import BrokenCode, Functions, TemplateProcess
from job_runners.local.function_settings import (
    DELAY,
    FAILURES,
    STAGE,
    AppTemplate,
    FunctionSettings,
)
from job_runners.local.gateway import Gateway
from job_runners.local.guard import Guard, Head, HttpServer, Response
from job_runners.local.job_stream import JobStream, console, suggest
from job_runners.local.kept_state import ABOUT_KEPT_DATA, KeptState
from job_runners.local.options import LocalProblem, Options
from job_runners.local.run_folder import KEPT_FOLDER, Credentials, announce
from job_runners.local.services import Services

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SHOW_SECONDS = 0.03
_ID_LENGTH = 4  # characters of a job's id that are shown
_POLL_SECONDS = 0.1


class Supervisor:
    """The parts of a running local stack."""

    def __init__(
        self,
        settings: FunctionSettings,
        credentials: Credentials,
        options: Options,
        app_template: AppTemplate | None,
    ) -> None:
        """Create the stack's resources. Those of `app_template` exist already."""
        self.settings, self.options = settings, options
        self._stream = JobStream(console, quiet=options.quiet)
        self._pending_lines: list[tuple[str, str]] = []  # lines that aren't shown yet
        self.app_template = app_template
        self.stack = settings.stack(
            credentials.access_key_id,
            credentials.secret_access_key,
            app_template.outputs() if app_template else {},
        )
        self.kept: KeptState | None = None
        self.reload: Callable[[str], None] | None = None  # set while CodeChanges watches the files
        self.functions = Functions(
            settings,
            options.workers,
            self._show,
            self._report_crash,
            lambda record: services.put(FAILURES, record),
        )
        self._gateway = Gateway(settings, self.functions)
        self.services = Services(settings, self.functions)
        secret_of = {credentials.access_key_id: credentials.secret_access_key}.get
        addresses = [options.listen] if options.listen else []
        guard = Guard(settings.port, secret_of, self._gateway.authorization_of, addresses)
        self.server = HttpServer(guard, self._respond)

    def _show(self, function: str, lines: list[str]) -> None:
        """Log lines at once. Show them a moment later, because the terminal is slow."""
        if function != "import":
            self.services.logs.write(self.settings.log_group(function), lines)
        if not self._pending_lines:
            asyncio.get_running_loop().call_later(_SHOW_SECONDS, self._flush)
        self._pending_lines += [(function, line) for line in lines]

    def _flush(self) -> None:
        lines, self._pending_lines = self._pending_lines, []
        try:
            self._stream.show(lines)
        except BrokenPipeError:  # the program that reads our output has ended
            signal.raise_signal(signal.SIGTERM)
        except Exception as error:  # noqa: BLE001 - later lines must still be shown
            self._stream.note(f"Some lines can't be shown: {type(error).__name__}")

    def note(self, text: str) -> None:
        """Show a note about the run, after the lines before it."""
        self._flush()
        self._stream.note(text)

    def _report_crash(self, function: str, event: Any, problem: str, last_line: str) -> None:
        """Show that a process has ended during an event, because it couldn't log that itself."""
        name = _event_name(event) or f"The {function} function"
        text = f"{name} lost its process. {problem}"
        if last_line:
            text += f"\n  Its last line: {_message(last_line)}"
        self.note(text)

    def load_kept_data(self) -> None:
        """Add the data of the last run, if --keep asks for it, and show what is missing."""
        if self.options.keep:
            self.note(ABOUT_KEPT_DATA)
            self.kept = KeptState(KEPT_FOLDER, self.note, self.services)
            self.kept.load()
            self.services.on_change = self.kept.note_change
        if self.app_template and self.app_template.missing:
            names = ", ".join(self.app_template.missing)
            self.note(f"The local AWS doesn't have these resources of own.template.yaml: {names}")

    def start_tasks(self) -> list["asyncio.Task[Any]"]:
        """Start the tasks that call the timer, poll queues and save kept data, and return them."""
        tasks = start_pollers(self.settings, self.functions)
        tasks.append(asyncio.create_task(run_timer(self.functions)))
        if self.kept:
            tasks.append(asyncio.create_task(self.kept.save_regularly()))
        return tasks

    def end(self) -> None:
        """Keep the data, if --keep asks for it, and end all processes."""
        self.reload = None
        self.server.close()
        if self.kept:
            self.kept.save()
        self.functions.end()
        self._flush()

    async def load(self, template: TemplateProcess) -> None:
        """Make a template's code the active code. Raises BrokenCode."""
        await template.load(self._show)
        await self.functions.activate(template)
        template.ended.add_done_callback(lambda _: self._restart(template))
        if template.ready["threads"]:
            names = ", ".join(template.ready["threads"])
            self.note(
                f"Your code starts threads when it is imported ({names}). So each process imports "
                "it again, and a start takes longer."
            )

    def _restart(self, template: TemplateProcess) -> None:
        """Load the code again if the active template process was killed."""
        if template is self.functions.template and self.reload:
            self.reload("the process that had imported your code was killed")

    async def _respond(self, head: Head, body: bytes, service: str) -> Response:
        try:
            if head.path.startswith(f"{STAGE}/"):
                is_signed = service == "execute-api"
                return await self._gateway.respond(head, body, is_signed=is_signed)
            return await self.services.respond(service, head, body)
        except Exception as error:  # noqa: BLE001 - a call must not end the server
            self.note(f"The local AWS can't answer a call of {service}: {error!r}")
            return 500, {}, b'{"message": "The local AWS has failed. Its terminal says why."}'


def _event_name(event: Any) -> str:
    if not isinstance(event, dict):
        return ""
    name = event.get("job_type") or event.get("task_name") or event.get("name") or ""
    return f"{name} {str(event.get('id', ''))[:_ID_LENGTH]}".strip()


def _message(line: str) -> str:
    """Return the message of a structured log line, or any other line as it is."""
    fields = parse_fields(line) or {}
    return str(fields.get("message", line))


def signer(stack: Stack) -> Signer:
    """Return a signer with a stack's credentials."""
    credentials = ClientCredentials(stack.aws_access_key_id, stack.aws_secret_access_key)
    return Signer(lambda: credentials, stack.region)


async def supervise(
    supervisor: Supervisor,
    launch_template: Callable[[], TemplateProcess],
    template: TemplateProcess,
    sockets: list[socket.socket],
    home: Path,
    status: Status,
) -> None:
    """Run the stack until a signal stops it. Raises LocalProblem if the code can't be imported.

    `template` is already importing the code. `launch_template` starts later template processes.
    """
    stack, options = supervisor.stack, supervisor.options
    changes = CodeChanges(lambda: supervisor.load(launch_template()), supervisor.note)
    tasks: list[asyncio.Task[Any]] = []
    _cancel_on_signals(asyncio.current_task())
    try:
        await supervisor.server.start(sockets)
        await supervisor.load(template)
        status.stop()
        supervisor.load_kept_data()
        tasks += supervisor.start_tasks()
        tasks.append(asyncio.create_task(changes.watch()))
        supervisor.reload = changes.reload
        with signing_proxy(stack.api_url, signer(stack)) as dashboard, announce(stack, home):
            suggest(stack, dashboard, template.ready, listen=options.listen, keeps=options.keep)
            await asyncio.Event().wait()  # for a signal
    except asyncio.CancelledError:
        return
    except BrokenCode as error:
        raise LocalProblem(describe(error)) from None
    finally:
        for task in tasks:
            task.cancel()
        supervisor.end()
        template.end()


def _cancel_on_signals(task: "asyncio.Task[Any] | None") -> None:
    """Let signals cancel a task. They don't interrupt the cleanup, which awaits nothing."""
    assert task is not None  # noqa: S101 - a coroutine runs in a task
    for number in END_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


async def run_timer(functions: Functions) -> None:
    """Run the timer at once, and at each full minute."""
    while True:
        minute = time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime())
        functions.send("timer", {"time": minute})
        await asyncio.sleep(60 - time.time() % 60)


def start_pollers(settings: FunctionSettings, functions: Functions) -> list["asyncio.Task[None]"]:
    """Start a task for each queue that calls a function, and return the tasks."""
    function_of_queue = {DELAY: "timer", FAILURES: "failures"}
    if work_queue := settings.parameter("WorkQueueName"):
        function_of_queue[work_queue] = "worker"
    return [
        asyncio.create_task(_poll(functions, queue, function))
        for queue, function in function_of_queue.items()
    ]


async def _poll(functions: Functions, queue: str, function: str) -> None:
    """Pass the messages of a queue to a function, in batches of ten."""
    while True:
        started_at = time.monotonic()
        messages = services.receive(queue)
        if messages:
            await _deliver(functions, queue, function, messages)
        else:
            # Searching thousands of delayed messages takes long, so search less often.
            await asyncio.sleep(max(_POLL_SECONDS, 20 * (time.monotonic() - started_at)))


async def _deliver(functions: Functions, queue: str, function: str, messages: list[Any]) -> None:
    """Pass a batch to a function. Messages that it doesn't accept go back to the queue."""
    records = [_record(queue, message) for message in messages]
    reply = await functions.invoke(function, {"Records": records})
    if "errorType" in reply:
        return
    failures = (reply["result"] or {}).get("batchItemFailures", [])
    failed_ids = {failure["itemIdentifier"] for failure in failures}
    for message in messages:
        if message.id not in failed_ids:
            services.delete(queue, message)


def _record(queue: str, message: Any) -> dict[str, Any]:
    return {
        "messageId": message.id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": {"ApproximateReceiveCount": str(message.approximate_receive_count)},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}",
        "awsRegion": REGION,
    }
