"""A small Lambda: it runs a function's events in processes, and queues events until one is idle.

A template process imports the project's code once, and then creates the functions' processes, if
possible by forks (function_process.py). Changed code gets a new template process.

Nothing is retried. If a process ends or takes too long during an event, a failure record goes to
the failures queue, as template.yaml configures it for the worker.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from job_runners.building.app_folder import CONFIG, read_workers
from job_runners.building.import_check import describe
from job_runners.local.function_settings import FunctionSettings
from job_runners.local.options import Options
from job_runners.local.run_folder import Credentials
from job_runners.places import variables

_MAX_REPLY = 2**26  # bytes
_MAX_LINE = 2**20  # bytes of a log line, as in CloudWatch
_GRACE_SECONDS = 10.0  # after the limit of an import, until its process is killed
_END_SECONDS = 5.0

ShowLines = Callable[[str, list[str]], None]
"""Takes the name of a function, and the lines that it has logged."""
Reply = dict[str, Any]
"""Has the `result` of an invocation, or its `errorType` and `errorMessage`."""


class BrokenCode(Exception):
    """The project's code can't be imported. `problem` is what import_check.describe returns."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(problem["text"])
        self.problem = problem


class _ProcessEnded(Exception):
    """A process ended during an invocation. `last_line` is the last line that it logged."""

    def __init__(self, kind: str, text: str, last_line: str = "") -> None:
        super().__init__(text)
        self.last_line = last_line
        self.reply = {"errorType": kind, "errorMessage": text}


class TemplateProcess:
    """The template process of one version of the code, and the processes that it has created."""

    def __init__(
        self, start: Mapping[str, Any], environment: Mapping[str, str], folder: str
    ) -> None:
        """Start importing the code.

        `start` is sent to the process:
        - `environments`: for each function, how its variables differ from `environment`;
        - `creates`: how functions' processes are created: "fork", "spawn" or "auto";
        - `import_seconds`: the time limit of the import.
        """
        self._control, process_end = socket.socketpair()
        self._output_pipe, output = os.pipe()
        self._functions = list(start["environments"])
        self._import_seconds = start["import_seconds"]
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "job_runners.local.function_process",
                str(process_end.fileno()),
            ],
            env=dict(environment),
            cwd=folder,
            pass_fds=[process_end.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches only the supervisor
        )
        process_end.close()
        os.close(output)
        self._control.sendall(json.dumps(start).encode() + b"\n")
        # Requests for a process. Each gets its id, and a future for its exit status.
        self._requests: deque[asyncio.Future[tuple[int, asyncio.Future[int]]]] = deque()
        self._exits: dict[int, asyncio.Future[int]] = {}  # of running processes, by their ids
        self.ready: dict[str, Any] = {}  # what function_process.main reports after the import
        self._is_retired = False

    async def load(self, show: ShowLines) -> None:
        """Wait until the code is imported. Raises BrokenCode."""
        self._output = _Output("import", self._output_pipe, show)
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        duplicate = self._control.dup()
        duplicate.setblocking(False)
        self._reader, self._writer = await asyncio.open_connection(sock=duplicate)
        try:
            time_limit = self._import_seconds + _GRACE_SECONDS
            line = await asyncio.wait_for(self._reader.readline(), time_limit)
            what = "The process that imported your code ended"
        except TimeoutError:  # an import that Python can't interrupt, such as one that waits in C
            line, what = b"", f"The import has not ended after {time_limit:g} s"
        except BaseException:
            self.end()
            raise
        ended = _ProcessEnded("Runtime.ExitError", what)
        report = json.loads(line) if line else {"problem": describe(ended)}
        if "problem" in report:
            self.end()
            raise BrokenCode(report["problem"])
        self.ready = report["ready"]
        self._listener = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await self._reader.readline():
                report = json.loads(line)
                if "created" in report:
                    pid = report["created"]
                    self._exits[pid] = asyncio.get_running_loop().create_future()
                    self._requests.popleft().set_result((pid, self._exits[pid]))
                else:
                    self._exits.pop(report["exited"]).set_result(report["status"])
                    if self._is_retired and not self._exits:
                        break
        for request in self._requests:
            request.set_exception(self._end_error())
        for pid in self._exits:  # no process reports their exits anymore
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        self.end()
        if not self.ended.done():
            self.ended.set_result(None)

    async def create(self, name: str, show: ShowLines) -> "_Process":
        """Return a new process of a function. Raises _ProcessEnded."""
        if self.ended.done():
            raise self._end_error()
        connection, process_end = socket.socketpair()
        read_end, write_end = os.pipe()
        request = asyncio.get_running_loop().create_future()
        self._requests.append(request)
        message = bytes([self._functions.index(name)])
        socket.send_fds(self._control, [message], [process_end.fileno(), write_end])
        process_end.close()
        os.close(write_end)
        output = _Output(name, read_end, show)
        reader, writer = await asyncio.open_connection(sock=connection, limit=_MAX_REPLY)
        pid, exit_status = await request
        return _Process(self, pid, exit_status, reader, writer, output)

    def _end_error(self) -> _ProcessEnded:
        return _ProcessEnded("Runtime.ExitError", "The template process has ended")

    def retire(self) -> None:
        """End the template process as soon as the processes that it created have ended."""
        self._is_retired = True
        if not self._exits:
            self.end()

    def end(self) -> None:
        """End the template process and all processes that it has created."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        self._control.close()
        try:
            self._process.wait(_END_SECONDS if self.ready else 0.1)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def template_launcher(
    settings: FunctionSettings,
    credentials: Credentials,
    options: Options,
    folder: Path,
    home: Path,
) -> Callable[[], TemplateProcess]:
    """Return a function that starts importing the code as it is then.

    The processes run in `folder`, and write temporary files only below `home`.
    """
    environments = {
        function: settings.environment(function) | settings.lambda_environment(function)
        for function in settings.functions
    }
    # The import runs with the variables of all functions. A function's process then gets the values
    # of its function. A variable that this function lacks is empty, which is like a missing one.
    all_variables: dict[str, str] = {}
    for environment in environments.values():
        all_variables |= environment
    defaults = dict.fromkeys(all_variables, "") | {"WORKER_CLASSES": ",".join(settings.workers)}
    start = {
        "environments": {name: defaults | values for name, values in environments.items()},
        "creates": options.processes,
        "import_seconds": options.import_seconds,
    }
    # As in a build, no module can read the app settings when it is imported.
    del all_variables["APP_SETTINGS_PATH"]
    temporary = home / "tmp"
    temporary.mkdir()
    local = {"TMPDIR": str(temporary)}
    if options.loopback_webhooks:
        local["LOOPBACK_WEBHOOKS"] = "true"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = inherited | variables() | local | credentials.variables | all_variables

    def launch() -> TemplateProcess:
        # The import accepts classes that app.toml has by now. Until a new start, the default worker
        # runs their work.
        classes = {"WORKER_CLASSES": ",".join(read_workers(folder / CONFIG))}
        return TemplateProcess(start, environment | classes, str(folder))

    return launch


class _Output:
    """Shows the lines that a process prints, until its pipe closes. That ends the task `end`."""

    def __init__(self, name: str, pipe: int, show: ShowLines) -> None:
        self._name, self._show = name, show
        self.last_line = ""
        self.end = asyncio.create_task(self._follow(pipe))

    async def _follow(self, pipe: int) -> None:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(pipe, "rb"))
        unfinished_line, has_ended = b"", False
        while not has_ended:
            data = await reader.read(2**16)
            has_ended = not data
            *lines, unfinished_line = (unfinished_line + data).split(b"\n")
            if unfinished_line and (has_ended or len(unfinished_line) > _MAX_LINE):
                lines.append(unfinished_line)
                unfinished_line = b""
            if lines:
                texts = [line.decode(errors="replace") for line in lines]
                self.last_line = texts[-1]
                self._show(self._name, texts)
        transport.close()


@dataclass(eq=False)
class _Process:
    """A process of a function. It runs one invocation at a time."""

    template: TemplateProcess
    pid: int
    exit_status: "asyncio.Future[int]"
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    _output: _Output

    async def call(self, event: Any, arn: str, seconds: float) -> Reply:
        """Run an invocation. Raises _ProcessEnded if it ends the process or takes too long."""
        call = {"event": event, "arn": arn, "seconds": seconds, "request_id": str(uuid.uuid4())}
        self._writer.write(json.dumps(call).encode() + b"\n")
        line = asyncio.ensure_future(self._reader.readline())
        # Also wait for the exit: after it, a program that the process has started may still hold
        # the connection open.
        futures: list[asyncio.Future[Any]] = [line, self.exit_status]
        await asyncio.wait(futures, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if line.done() and line.exception() is None and line.result():
            reply: Reply = json.loads(line.result())
            return reply
        timed_out = not line.done() and not self.exit_status.done()
        line.cancel()
        await self._kill()
        if timed_out:
            text = f"Error: Task timed out after {seconds:.2f} seconds"
            raise _ProcessEnded("Sandbox.Timedout", text)
        text = f"Error: Runtime exited with error: {self._exit_text()}"
        raise _ProcessEnded("Runtime.ExitError", text, self._output.last_line)

    async def _kill(self) -> None:
        """End the process, and wait until its last lines are shown."""
        # A process that has closed its connection is probably ending.
        patience = 0.2 if self._reader.at_eof() else 0
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.exit_status), patience)
        if not self.exit_status.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        futures: list[asyncio.Future[Any]] = [self.exit_status, self._output.end]
        await asyncio.wait(futures, timeout=0.5)
        self._writer.close()

    def _exit_text(self) -> str:
        if not self.exit_status.done():
            return "it closed its connection"
        code = os.waitstatus_to_exitcode(self.exit_status.result())
        if code < 0:
            return f"signal: {signal.Signals(-code).name}"
        return f"exit status {code}"

    def close(self) -> None:
        """Let the process end. It must be idle."""
        self._writer.close()


@dataclass(eq=False)
class _Pool:
    """The processes of one function, and the events that wait for one of them."""

    limit: int
    idle: list[_Process] = field(default_factory=list)
    busy: int = 0
    waiting: "deque[tuple[Any, asyncio.Future[Reply]]]" = field(default_factory=deque)


class Functions:
    """All functions of a local stack."""

    def __init__(
        self,
        settings: FunctionSettings,
        workers: int,
        show: ShowLines,
        report_crash: Callable[[str, Any, str, str], None],
        record_failure: Callable[[str], None],
    ) -> None:
        """Prepare the pools.

        `workers` limits the worker's processes. `report_crash` gets the function, the event, what
        happened to the process, and its last line. `record_failure` gets the text of each failure
        record.
        """
        self._settings, self._show = settings, show
        self._report_crash, self._record_failure = report_crash, record_failure
        limits = {"api": 4, "worker": workers, "timer": 2, "failures": 1}
        if settings.is_legacy:
            limits["api"] += workers
        for name, class_name in settings.class_functions.items():
            concurrency = settings.workers[class_name].get("concurrency", workers)
            limits[name] = min(workers, concurrency)
        self._pools = {name: _Pool(limit) for name, limit in limits.items()}
        self.names = self._pools.keys()
        # the functions that run jobs and tasks
        self._work_functions = {settings.work_function, *settings.class_functions}
        self.template: TemplateProcess | None = None  # that of the active code
        self._templates: list[TemplateProcess] = []  # also those whose processes are still busy
        self._tasks: set[asyncio.Task[None]] = set()
        # the function and the event of each call of `send` that hasn't ended, by the event's id()
        self._unfinished: dict[int, tuple[str, Any]] = {}

    async def activate(self, template: TemplateProcess) -> None:
        """Run this process's code in all further invocations."""
        old, self.template = self.template, template
        self._templates = [running for running in self._templates if not running.ended.done()]
        self._templates.append(template)
        for name, pool in self._pools.items():
            for process in pool.idle:
                process.close()
            pool.idle.clear()
            self._start_waiting(name)
        if old:
            old.retire()
        # Create processes before they are needed. A fork takes milliseconds. Otherwise, each
        # process imports the code itself, so only one of each function is created.
        is_fast = template.ready["creates"] == "fork"
        for name in dict.fromkeys(("api", self._settings.work_function)):  # may be the same one
            pool = self._pools[name]
            count = pool.limit if is_fast and name != "api" else 1
            while len(pool.idle) + pool.busy < count:
                pool.idle.append(await template.create(name, self._show))

    async def invoke(self, function: str, event: Any) -> Reply:
        """Run a function and return its reply."""
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pools[function].waiting.append((event, reply))
        self._start_waiting(function)
        return await reply

    def send(self, function: str, event: Any) -> None:
        """Run a function in the background. If it runs jobs and tasks and fails, record that."""
        self._start(self._run_event(function, event))

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_event(self, function: str, event: Any) -> None:
        event_id = id(event)
        self._unfinished[event_id] = function, event
        try:
            reply = await self.invoke(function, event)
            if "errorType" in reply and function in self._work_functions:
                self._record_failure(failure_record(event, reply))
        finally:
            del self._unfinished[event_id]

    def unfinished(self) -> Iterator[tuple[str, str, Any]]:
        """Yield the unfinished events of functions that run jobs and tasks.

        Each comes with "waiting" or "running", and the function's name.
        """
        waiting = {
            id(event) for name in self._work_functions for event, _ in self._pools[name].waiting
        }
        for event_id, (function, event) in self._unfinished.items():
            if function in self._work_functions:
                yield "waiting" if event_id in waiting else "running", function, event

    def _start_waiting(self, function: str) -> None:
        """Run waiting events, as many as there are processes for."""
        pool = self._pools[function]
        pool.idle = [process for process in pool.idle if not process.exit_status.done()]
        while self.template and pool.waiting and (pool.idle or pool.busy < pool.limit):
            process = pool.idle.pop() if pool.idle else None
            event, reply = pool.waiting.popleft()
            pool.busy += 1
            self._start(self._run(function, process, event, reply))

    async def _run(
        self,
        function: str,
        process: _Process | None,
        event: Any,
        reply_future: "asyncio.Future[Reply]",
    ) -> None:
        pool, template = self._pools[function], self.template
        assert template is not None  # noqa: S101 - _start_waiting has checked it
        arn, seconds = self._settings.arn(function), self._settings.timeout(function)
        try:
            process = process or await template.create(function, self._show)
            reply = await process.call(event, arn, seconds)
        except _ProcessEnded as end:
            process, reply = None, end.reply
            self._report_crash(function, event, str(end), end.last_line)
        finally:
            pool.busy -= 1
        if process and process.template is self.template:
            pool.idle.append(process)
        elif process:  # the code has changed
            process.close()
        if not reply_future.cancelled():
            reply_future.set_result(reply)
        self._start_waiting(function)

    def end(self) -> None:
        """End all processes."""
        for task in self._tasks:
            task.cancel()
        for template in self._templates:
            template.end()


def failure_record(event: Any, reply: Reply) -> str:
    """Return the record that Lambda sends to the failures queue about an event."""
    return json.dumps(
        {
            "version": "1.0",
            "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 1},
            "requestPayload": event,
            "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
            "responsePayload": reply,
        }
    )
