"""A small Lambda: processes that run the functions, and the events that wait for one.

It retries nothing. If the process of an event ends or takes too long, a failure record goes to the
failures queue, as the template's configuration of the worker says.
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
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from job_runners.local.function_settings import FunctionSettings

_MAX_REPLY = 2**26  # bytes
_MAX_LINE = 2**20  # bytes of a log line, as in CloudWatch
_GRACE = 10.0  # seconds after the limit of an import until its process is killed
_END_SECONDS = 5.0

Show = Callable[[str, list[str]], None]
"""Takes the name of a function, and the lines that it has logged."""
Reply = dict[str, Any]
"""Has the `result` of an invocation, or its `errorType` and `errorMessage`."""


class BrokenCode(Exception):
    """The project's code can't be imported. `problem` is what import_check.describe returns."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(problem["text"])
        self.problem = problem


class _Died(Exception):
    """The process of an invocation has ended."""

    def __init__(self, kind: str, text: str, last_line: str = "") -> None:
        super().__init__(text)
        self.last_line = last_line
        self.reply = {"errorType": kind, "errorMessage": text}


class Template:
    """The template process of one version of the code, and the processes that it has created."""

    def __init__(
        self, start: Mapping[str, Any], environment: Mapping[str, str], folder: str
    ) -> None:
        """Start importing in this environment and folder.

        `start` has the `environments` of the functions, as changes of this one; how the process
        `creates` others ("fork", "spawn" or "auto"); and `import_seconds`, the longest import.
        """
        self._control, theirs = socket.socketpair()
        self._pipe, output = os.pipe()
        self._functions = list(start["environments"])
        self._seconds = start["import_seconds"]
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "job_runners.local.function_process",
                str(theirs.fileno()),
            ],
            env=dict(environment),
            cwd=folder,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches only the supervisor
        )
        theirs.close()
        os.close(output)
        self._control.sendall(json.dumps(start).encode() + b"\n")
        self._created: deque[asyncio.Future[tuple[int, asyncio.Future[int]]]] = deque()
        self._exits: dict[int, asyncio.Future[int]] = {}  # of running processes
        self.ready: dict[str, Any] = {}
        self._is_retired = False

    async def load(self, show: Show) -> None:
        """Wait until the code is imported. Raises BrokenCode."""
        self._output = _Output("import", self._pipe, show)
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        duplicate = self._control.dup()
        duplicate.setblocking(False)
        self._reader, self._writer = await asyncio.open_connection(sock=duplicate)
        try:
            line = await asyncio.wait_for(self._reader.readline(), self._seconds + _GRACE)
        except TimeoutError:  # an import that holds the interpreter's lock
            line = b""
        except BaseException:
            self.end()
            raise
        problem = {"kind": "", "text": "The process that imported your code ended", "places": []}
        found = json.loads(line) if line else {"problem": problem | _NOTHING_MORE}
        if "problem" in found:
            self.end()
            raise BrokenCode(found["problem"])
        self.ready = found["ready"]
        self._listener = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await self._reader.readline():
                said = json.loads(line)
                if "created" in said:
                    pid = said["created"]
                    self._exits[pid] = asyncio.get_running_loop().create_future()
                    self._created.popleft().set_result((pid, self._exits[pid]))
                else:
                    self._exits.pop(said["exited"]).set_result(said["status"])
                    if self._is_retired and not self._exits:
                        break
        for each in self._created:
            each.set_exception(_Died("Runtime.ExitError", "The template process has ended"))
        for pid in self._exits:  # nothing tells their ends any more
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        self.end()
        if not self.ended.done():
            self.ended.set_result(None)

    async def create(self, name: str, show: Show) -> "_Process":
        """Return a new process of a function. Raises _Died."""
        if self.ended.done():
            raise _Died("Runtime.ExitError", "The template process has ended")
        ours, theirs = socket.socketpair()
        read, write = os.pipe()
        created = asyncio.get_running_loop().create_future()
        self._created.append(created)
        socket.send_fds(
            self._control, [bytes([self._functions.index(name)])], [theirs.fileno(), write]
        )
        theirs.close()
        os.close(write)
        shown = _Output(name, read, show)
        reader, writer = await asyncio.open_connection(sock=ours, limit=_MAX_REPLY)
        pid, exited = await created
        return _Process(self, pid, exited, reader, writer, shown)

    @property
    def has_ended(self) -> bool:
        """Whether the template process has ended."""
        return self.ended.done()

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


_NOTHING_MORE = {"missing": None, "is_ours": False, "may_be_setting": False}


class _Output:
    """Shows the lines of a process, as they come, in the task `end`."""

    def __init__(self, name: str, pipe: int, show: Show) -> None:
        self._name, self._show = name, show
        self.last_line = ""
        self.end = asyncio.create_task(self._follow(pipe))

    async def _follow(self, pipe: int) -> None:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(pipe, "rb"))
        rest = b""
        while data := await reader.read(2**16):
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > _MAX_LINE:
                lines, rest = [*lines, rest], b""
            self._pass_on(lines)
        self._pass_on([rest] if rest else [])
        transport.close()

    def _pass_on(self, lines: list[bytes]) -> None:
        if lines:
            texts = [line.decode(errors="replace") for line in lines]
            self.last_line = texts[-1]
            self._show(self._name, texts)


class _Process:
    """A process of a function. It runs one invocation at a time."""

    def __init__(
        self,
        template: Template,
        pid: int,
        exited: "asyncio.Future[int]",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        output: _Output,
    ) -> None:
        self.template, self.pid, self._exited = template, pid, exited
        self._reader, self._writer, self._output = reader, writer, output

    async def call(self, event: Any, arn: str, seconds: float) -> Reply:
        """Run an invocation. Raises _Died if it ends the process or takes too long."""
        call = {"event": event, "arn": arn, "seconds": seconds, "request_id": str(uuid.uuid4())}
        self._writer.write(json.dumps(call).encode() + b"\n")
        reading = asyncio.ensure_future(self._reader.readline())
        sources: list[asyncio.Future[Any]] = [reading, self._exited]
        # A program that the process has started may hold the connection open after its end.
        await asyncio.wait(sources, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if reading.done() and reading.exception() is None and reading.result():
            reply: Reply = json.loads(reading.result())
            return reply
        timed_out = not reading.done() and not self._exited.done()
        reading.cancel()
        await self._kill()
        if timed_out:
            raise _Died("Sandbox.Timedout", f"Error: Task timed out after {seconds:.2f} seconds")
        text = f"Error: Runtime exited with error: {self._end()}"
        raise _Died("Runtime.ExitError", text, self._output.last_line)

    async def _kill(self) -> None:
        """End the process, and wait until its last lines are shown."""
        with contextlib.suppress(TimeoutError):  # it may already be ending
            await asyncio.wait_for(
                asyncio.shield(self._exited), 0.2 if self._reader.at_eof() else 0
            )
        if not self._exited.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        sources: list[asyncio.Future[Any]] = [self._exited, self._output.end]
        await asyncio.wait(sources, timeout=0.5)
        self._writer.close()

    def _end(self) -> str:
        if not self._exited.done():
            return "it closed its connection"
        code = os.waitstatus_to_exitcode(self._exited.result())
        return f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._exited.done()

    def close(self) -> None:
        """Let the process end. It must be idle."""
        self._writer.close()


class _Pool:
    """The processes of one function, and the events that wait for one of them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.idle: list[_Process] = []
        self.busy = 0
        self.waiting: deque[tuple[Any, asyncio.Future[Reply]]] = deque()


class Functions:
    """All functions of a local stack."""

    def __init__(
        self,
        settings: FunctionSettings,
        workers: int,
        show: Show,
        crashed: Callable[[str, Any, str, str], None],
        record_failure: Callable[[str], None],
    ) -> None:
        """Prepare the pools.

        `crashed` gets the function, the event, what has happened to the process, and its last line.
        `record_failure` gets the text of each failure record."""
        self._settings, self._show = settings, show
        self._crashed, self._record_failure = crashed, record_failure
        limits = {"api": 4, "worker": workers, "timer": 2, "failures": 1}
        if settings.is_legacy:
            limits["api"] += workers
        self._run_work = {settings.runs_work, *settings.classes}
        for name, its_class in settings.classes.items():
            limits[name] = min(workers, settings.workers[its_class].get("concurrency", workers))
        self._pools = {name: _Pool(limit) for name, limit in limits.items()}
        self.names = self._pools.keys()
        self.template: Template | None = None  # that of the active code
        self._templates: list[Template] = []  # also those whose processes are still busy
        self._tasks: set[asyncio.Task[None]] = set()
        self._unfinished: dict[int, tuple[str, Any]] = {}  # events and their functions

    async def use(self, template: Template) -> None:
        """Let all further invocations run this code."""
        old, self.template = self.template, template
        self._templates = [*(each for each in self._templates if not each.has_ended), template]
        for name, pool in self._pools.items():
            for process in pool.idle:
                process.close()
            pool.idle.clear()
            self._pump(name)
        if old:
            old.retire()
        # Forks take milliseconds. A process that imports the code itself takes much longer, so
        # only one of each function is created before it is needed.
        forks = template.ready["creates"] == "fork"
        for name in dict.fromkeys(("api", self._settings.runs_work)):
            pool = self._pools[name]
            wanted = pool.limit if forks and name != "api" else 1
            while len(pool.idle) + pool.busy < wanted:
                pool.idle.append(await template.create(name, self._show))

    async def invoke(self, function: str, event: Any) -> Reply:
        """Run a function and return its reply."""
        answer = asyncio.get_running_loop().create_future()
        self._pools[function].waiting.append((event, answer))
        self._pump(function)
        reply: Reply = await answer
        return reply

    def send(self, function: str, event: Any) -> None:
        """Run a function later. If it fails and it runs work, record that."""
        task = asyncio.create_task(self._run_event(function, event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run_event(self, function: str, event: Any) -> None:
        number = id(event)
        self._unfinished[number] = function, event
        try:
            reply = await self.invoke(function, event)
            if "errorType" in reply and function in self._run_work:
                self._record_failure(failure_record(event, reply))
        finally:
            del self._unfinished[number]

    def unfinished(self) -> Iterator[tuple[str, str, Any]]:
        """Yield the events of functions that run work: "waiting" or "running", and the function."""
        waiting = {id(event) for each in self._run_work for event, _ in self._pools[each].waiting}
        for number, (function, event) in self._unfinished.items():
            if function in self._run_work:
                yield "waiting" if number in waiting else "running", function, event

    def _pump(self, function: str) -> None:
        pool = self._pools[function]
        pool.idle = [each for each in pool.idle if not each.has_ended]
        while self.template and pool.waiting and (pool.idle or pool.busy < pool.limit):
            process = pool.idle.pop() if pool.idle else None
            pool.busy += 1
            task = asyncio.create_task(self._run(function, process, *pool.waiting.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(
        self, function: str, process: _Process | None, event: Any, answer: "asyncio.Future[Reply]"
    ) -> None:
        pool, template = self._pools[function], self.template
        assert template is not None  # noqa: S101 - _pump has checked it
        arn, seconds = self._settings.arn(function), self._settings.timeout(function)
        try:
            process = process or await template.create(function, self._show)
            reply = await process.call(event, arn, seconds)
        except _Died as died:
            process, reply = None, died.reply
            self._crashed(function, event, str(died), died.last_line)
        finally:
            pool.busy -= 1
        if process and process.template is self.template:
            pool.idle.append(process)
        elif process:  # the code has changed
            process.close()
        if not answer.cancelled():
            answer.set_result(reply)
        self._pump(function)

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
