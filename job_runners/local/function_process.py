"""The processes of the functions.

`main` is the template process. It imports the project's code once. Then it creates a process for
each request of the supervisor, by a fork where that is safe. A forked process continues like one
that Lambda restores from a snapshot.

The supervisor's end, however it comes, closes the control socket. Then the template process ends
all processes that it has created, and itself.
"""

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
from collections.abc import Collection, Mapping, MutableMapping
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

FUNCTIONS = ("api", "worker", "timer", "failures")
_SERVE = "serve"
_SERVICES = ("dynamodb", "lambda", "sqs", "s3")  # whose clients are built before a fork


class Context:
    """The parts of Lambda's context that functions read."""

    function_version = "1"

    def __init__(self, call: Mapping[str, Any]) -> None:
        self.aws_request_id = call["request_id"]
        self.invoked_function_arn = call["arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.memory_limit_in_mb = int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"])
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = "local"
        self._deadline = time.time() + call["seconds"]

    def get_remaining_time_in_millis(self) -> int:
        """Return the time that is left until this process is killed."""
        return max(0, int((self._deadline - time.time()) * 1000))


def main() -> None:
    """Run the template process: main SOCKET, or a spawned function: serve NAME CONNECTION."""
    if sys.argv[1] == _SERVE:
        name, connection = sys.argv[2:]
        kind = kind_of(name)
        _serve(load([kind])[kind], int(connection))
    control = socket.socket(fileno=int(sys.argv[1]))
    with control.makefile("rb", buffering=0) as lines:
        start = json.loads(lines.readline())
    watch = _ImportWatch(control, start["import_seconds"])
    try:
        functions = load(FUNCTIONS)
    except BaseException as error:  # noqa: BLE001 - a module may also end the process
        from job_runners.building.import_check import describe

        watch.stop()
        _send(control, problem=describe(error))
        return
    watch.stop()
    threads = [each.name for each in threading.enumerate()[1:]]
    creates = start["creates"]
    if creates == "auto":
        creates = "spawn" if threads or sys.platform != "linux" else "fork"
    _Template(control, start["environments"], functions if creates == "fork" else {}).run(
        {"creates": creates, "threads": threads, **_names()}
    )


def kind_of(function: str) -> str:
    """Return which of FUNCTIONS has the code of a function: of worker-large, it is worker."""
    return function.partition("-")[0]


def load(functions: Collection[str]) -> dict[str, Any]:
    """Import everything that these functions run, and return their modules by name.

    An error names the mistake in the user's code.
    """
    # Imported here because the supervisor imports this module.
    from job_runners.engine.registry.registry import registry
    from job_runners.handlers import snapshot

    modules = {name: import_module(f"job_runners.handlers.{name}") for name in functions}
    for name in registry().modules():
        import_module(name)  # so that a mistake is shown with its place
    registry().resolve_all()
    snapshot.before_snapshot(*_SERVICES)
    return modules


def _names() -> dict[str, list[str]]:
    """Return the names of the project's own jobs and tasks."""
    from job_runners.engine.registry.registry import registry
    from job_runners.places import CODE

    # This may be in the project's folder, below .venv.
    built_in = str(CODE / "job_runners")

    def own(definitions: Mapping[str, Any]) -> list[str]:
        return [n for n, it in definitions.items() if not it.declared_in.file.startswith(built_in)]

    return {"jobs": own(registry().jobs), "tasks": own(registry().tasks)}


class _ImportWatch:
    """Ends this process if its import takes too long, or if the supervisor ends in that time."""

    def __init__(self, control: socket.socket, seconds: float) -> None:
        self._control, self._seconds = control, seconds
        self._importing = threading.get_ident()
        self._read, self._write = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching. No thread may be left when this process forks."""
        os.write(self._write, b".")
        self._thread.join()
        os.close(self._read)
        os.close(self._write)

    def _run(self) -> None:
        sources: list[Any] = [self._control, self._read]
        ready, _, _ = select.select(sources, [], [], self._seconds)
        if self._read in ready:
            return
        if not ready:
            frame = sys._current_frames()[self._importing]
            places = [(each.filename, each.lineno) for each in traceback.extract_stack(frame)]
            text = f"The import has not ended after {self._seconds:g} s"
            problem = {"kind": "TimeoutError", "text": text, "places": places, "is_ours": False}
            _send(self._control, problem=problem | {"missing": None, "may_be_setting": False})
        os.killpg(0, signal.SIGKILL)  # with the programs that the import has started


def _send(control: socket.socket, **fields: Any) -> None:
    with suppress(BrokenPipeError):
        control.sendall(json.dumps(fields).encode() + b"\n")


class _Template:
    """Creates processes of functions and reports their ends, until the control socket closes."""

    def __init__(
        self,
        control: socket.socket,
        environments: Mapping[str, Mapping[str, str | None]],
        functions: Mapping[str, Any],  # empty if processes are spawned
    ) -> None:
        self._control, self._environments, self._functions = control, environments, functions
        self._children: set[int] = set()
        self._wake, self._awake = os.pipe()
        os.set_blocking(self._awake, False)

    def run(self, ready: Mapping[str, Any]) -> None:
        """Serve the supervisor until it closes the socket."""
        signal.set_wakeup_fd(self._awake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        _send(self._control, ready=ready)
        sources: list[Any] = [self._control, self._wake]
        while True:
            found, _, _ = select.select(sources, [], [])
            if self._wake in found:
                os.read(self._wake, 64)
            self._reap()
            if self._control in found and not self._create_next():
                break
        for child in self._children:
            _kill_group(child)
        os.killpg(0, signal.SIGKILL)

    def _reap(self) -> None:
        while True:
            try:
                child, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if child == 0:
                return
            if child in self._children:  # and not one that the import has started
                self._children.discard(child)
                _kill_group(child)  # programs that it has started and left
                _send(self._control, exited=child, status=status)

    def _create_next(self) -> bool:
        """Create one process. Return False if the supervisor has ended."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, 1, 2)
        except ConnectionError:
            data = b""
        if not data:
            return False
        name = list(self._environments)[data[0]]
        child = (self._fork if self._functions else self._spawn)(name, *descriptors)
        self._children.add(child)
        for each in descriptors:
            os.close(each)
        _send(self._control, created=child)
        return True

    def _fork(self, name: str, connection: int, output: int) -> int:
        child = os.fork()
        if child:
            with suppress(OSError):  # the child does it too, whichever comes first
                os.setpgid(child, child)
            return child
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (self._control.detach(), self._wake, self._awake):
                os.close(each)
            for each in (1, 2):
                os.dup2(output, each)
            os.close(output)
            _become(self._environments[name])
            _serve(self._functions[kind_of(name)], connection)
        finally:
            os._exit(1)

    def _spawn(self, name: str, connection: int, output: int) -> int:
        command = [sys.executable, "-P", "-m", __spec__.name, _SERVE, name, str(connection)]
        variables = dict(os.environ)
        _set_environment(variables, self._environments[name])
        return subprocess.Popen(
            command,
            env=variables,
            pass_fds=[connection],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        ).pid


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _become(environment: Mapping[str, str | None]) -> None:
    """Act as a restored process of a function with these environment variables."""
    from job_runners import settings
    from job_runners.handlers import snapshot

    _set_environment(os.environ, environment)
    settings.forget()
    snapshot.after_restore()


def _set_environment(
    variables: MutableMapping[str, str], environment: Mapping[str, str | None]
) -> None:
    """Set a function's variables, and remove those of the other functions, which are None."""
    for name, value in environment.items():
        if value is None:
            variables.pop(name, None)
        else:
            variables[name] = value


def _serve(module: Any, connection: int) -> NoReturn:
    """Run invocations, one after another, until the supervisor closes the connection."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    with socket.socket(fileno=connection) as held, held.makefile("rwb") as calls:
        for line in calls:
            call = json.loads(line)
            reply: dict[str, Any]
            try:
                reply = {"result": module.handler(call["event"], Context(call))}
                answer = json.dumps(reply).encode()
            except Exception as error:  # noqa: BLE001 - the caller gets it
                traceback.print_exc()
                reply = {"errorType": type(error).__name__, "errorMessage": str(error)}
                answer = json.dumps(reply).encode()
            sys.stdout.flush()
            sys.stderr.flush()
            try:
                calls.write(answer + b"\n")
                calls.flush()
            except BrokenPipeError:
                break
    os._exit(0)


if __name__ == "__main__":
    main()
