"""The program of the template process and of the functions' processes.

The template process imports the project's code once. Then it creates a function's process for each
request of the supervisor, by a fork where that is safe. A forked process continues like one that
Lambda restores from a snapshot.

The control socket connects the supervisor and the template process. When the supervisor ends, even
if it is killed, the socket closes. Then the template process ends all processes that it has
created, and itself.
"""

import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any, NoReturn

from job_runners.building.import_check import describe, limit_time

FUNCTIONS = ("api", "worker", "timer", "failures")
_SERVE = "serve"
_SERVICES = ("dynamodb", "lambda", "sqs", "s3")  # their clients are created before forks


class Context:
    """The parts of Lambda's context that functions read."""

    def __init__(self, call: Mapping[str, Any]) -> None:
        self.aws_request_id = call["request_id"]
        self.invoked_function_arn = call["arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self._deadline = time.time() + call["seconds"]

    def get_remaining_time_in_millis(self) -> int:
        """Return the time that is left until this process is killed."""
        return max(0, int((self._deadline - time.time()) * 1000))


def main() -> None:
    """Run the template process, with the argument SOCKET, or a spawned function's process.

    The arguments of the latter are: serve NAME CONNECTION
    """
    if sys.argv[1] == _SERVE:
        name, connection = sys.argv[2:]
        module_name = kind_of(name)
        _serve(load([module_name])[module_name], int(connection))
    control = socket.socket(fileno=int(sys.argv[1]))
    with control.makefile("rb", buffering=0) as lines:
        start = json.loads(lines.readline())  # see function_pools.TemplateProcess
    try:
        with _ending_with(control):
            limit_time(start["import_seconds"])
            functions = load(FUNCTIONS)
            _resolve_all()
            limit_time(0)
    except BaseException as error:  # noqa: BLE001 - a module may also end the process
        limit_time(0)
        _report(control, problem=describe(error))
        return
    threads = [thread.name for thread in threading.enumerate()[1:]]
    creates = start["creates"]
    if creates == "auto":  # a fork doesn't copy threads, and is safe only on Linux
        creates = "spawn" if threads or sys.platform != "linux" else "fork"
    factory = _ProcessFactory(
        control, start["environments"], functions if creates == "fork" else {}
    )
    factory.run({"creates": creates, "threads": threads, **_own_names()})


def kind_of(function: str) -> str:
    """Return which of FUNCTIONS has a function's code, such as worker for worker-large."""
    return function.partition("-")[0]


def load(functions: Collection[str]) -> dict[str, Any]:
    """Import everything that these functions run, and return their modules by name.

    An error names the mistake in the user's code.
    """
    # Imported here because the supervisor, which imports this module, doesn't need them.
    from job_runners.engine.registry.registry import registry
    from job_runners.handlers import snapshot

    modules = {name: import_module(f"job_runners.handlers.{name}") for name in functions}
    for name in registry().modules():
        import_module(name)  # resolve_all's errors would lack the mistake's place
    snapshot.before_snapshot(*_SERVICES)
    return modules


def _resolve_all() -> None:
    from job_runners.engine.registry.registry import registry

    registry().resolve_all()


def _own_names() -> dict[str, list[str]]:
    """Return the names of the project's own jobs and tasks, without the built-in ones."""
    from job_runners.engine.registry.registry import registry
    from job_runners.places import CODE

    our_folder = str(CODE / "job_runners")  # may be below the project, in .venv

    def own_names(definitions: Mapping[str, Any]) -> list[str]:
        return [
            name
            for name, definition in definitions.items()
            if not definition.declared_in.file.startswith(our_folder)
        ]

    return {"jobs": own_names(registry().jobs), "tasks": own_names(registry().tasks)}


@contextmanager
def _ending_with(control: socket.socket) -> Iterator[None]:
    """If the supervisor ends inside the block, end this process and the programs that it started.

    A thread could watch the socket too, but it might still run when this process forks.
    """
    signal.signal(signal.SIGIO, lambda *_: os.killpg(0, signal.SIGKILL))
    flags = fcntl.fcntl(control, fcntl.F_GETFL)
    fcntl.fcntl(control, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(control, fcntl.F_SETFL, flags | os.O_ASYNC)
    try:
        yield
    finally:
        fcntl.fcntl(control, fcntl.F_SETFL, flags)


def _report(control: socket.socket, **fields: Any) -> None:
    with suppress(BrokenPipeError):
        control.sendall(json.dumps(fields).encode() + b"\n")


class _ProcessFactory:
    """Creates functions' processes and reports their exits, until the control socket closes."""

    def __init__(
        self,
        control: socket.socket,
        environments: Mapping[str, Mapping[str, str]],
        functions: Mapping[str, Any],  # empty if processes are spawned
    ) -> None:
        self._control, self._environments, self._functions = control, environments, functions
        self._children: set[int] = set()
        self._wakeup_read, self._wakeup_write = os.pipe()  # a signal writes to this pipe
        os.set_blocking(self._wakeup_write, False)

    def run(self, ready: Mapping[str, Any]) -> None:
        """Serve the supervisor until it closes the socket."""
        signal.set_wakeup_fd(self._wakeup_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        _report(self._control, ready=ready)
        sources: list[Any] = [self._control, self._wakeup_read]
        while True:
            ready_sources, _, _ = select.select(sources, [], [])
            if self._wakeup_read in ready_sources:
                os.read(self._wakeup_read, 64)
            self._reap()
            if self._control in ready_sources and not self._create_process():
                break
        for child in self._children:
            _kill_group(child)
        os.killpg(0, signal.SIGKILL)

    def _reap(self) -> None:
        """Report the children that have exited."""
        while True:
            try:
                child, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if child == 0:
                return
            if child in self._children:  # other children were started by the import
                self._children.discard(child)
                _kill_group(child)  # ends programs that the child has left behind
                _report(self._control, exited=child, status=status)

    def _create_process(self) -> bool:
        """Create one process. Return False if the supervisor has ended."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, 1, 2)
        except ConnectionError:
            data = b""
        if not data:
            return False
        name = list(self._environments)[data[0]]
        connection, output = descriptors
        if self._functions:
            child = self._fork(name, connection, output)
        else:
            child = self._spawn(name, connection, output)
        self._children.add(child)
        os.close(connection)
        os.close(output)
        _report(self._control, created=child)
        return True

    def _fork(self, name: str, connection: int, output: int) -> int:
        child = os.fork()
        if child:
            with suppress(OSError):  # the child may have done so before
                os.setpgid(child, child)
            return child
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for descriptor in (self._control.detach(), self._wakeup_read, self._wakeup_write):
                os.close(descriptor)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.close(output)
            _act_as_restored(self._environments[name])
            _serve(self._functions[kind_of(name)], connection)
        finally:
            os._exit(1)

    def _spawn(self, name: str, connection: int, output: int) -> int:
        command = [sys.executable, "-P", "-m", __spec__.name, _SERVE, name, str(connection)]
        return subprocess.Popen(
            command,
            env=os.environ | self._environments[name],
            pass_fds=[connection],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        ).pid


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _act_as_restored(environment: Mapping[str, str]) -> None:
    """Act as a restored process of a function with these environment variables."""
    from job_runners import settings
    from job_runners.handlers import snapshot

    os.environ.update(environment)
    settings.forget()
    snapshot.after_restore()


def _serve(module: Any, connection: int) -> NoReturn:
    """Run invocations, one after another, until the supervisor closes the connection."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with socket.socket(fileno=connection) as supervisor, supervisor.makefile("rwb") as calls:
        for line in calls:
            call = json.loads(line)
            try:
                result = module.handler(call["event"], Context(call))
                reply = json.dumps({"result": result})
            except Exception as error:  # noqa: BLE001 - the caller gets it
                traceback.print_exc()
                reply = json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)})
            sys.stdout.flush()
            sys.stderr.flush()
            try:
                calls.write(reply.encode() + b"\n")
                calls.flush()
            except BrokenPipeError:
                break
    os._exit(0)


if __name__ == "__main__":
    main()
