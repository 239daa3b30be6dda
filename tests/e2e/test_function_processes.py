"""Processes of functions on the local AWS: what they share, and what they can't break."""

import base64
import hashlib
import io
import json
import os
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from emulated_aws.emulator import CODE_FOLDER, emulator
from emulated_aws.function_code import activate
from job_runners.building.samconfig import Target
from stack_clients import session

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("function processes")]

# Whatever a job or a program that it starts may do to the two descriptors that ministack talks on.
FORGING = """
import os, subprocess, sys
forged = '{"status": "ok", "result": "forged"}'
ways = {
    "print": lambda: print(forged, flush=True),
    "the interpreter's own stdout": lambda: print(forged, file=sys.__stdout__, flush=True),
    "the descriptor": lambda: os.write(1, forged.encode() + b"\\n"),
    "half a line": lambda: os.write(1, b'{"status":'),
    "a program": lambda: subprocess.run(["echo", forged], check=True),
    "a shell's": lambda: subprocess.run("echo '" + forged + "' >&1", shell=True, close_fds=False),
    "a program that reads": lambda: subprocess.run(["cat"], check=True, timeout=60),
    "reading": lambda: sys.stdin.read(),
    "250 lines": lambda: print("{}\\n" * 250, flush=True),
}
def handler(event, context):
    ways[event]()
    return "what the function returned to " + event
"""
WAYS = [
    *("print", "the interpreter's own stdout", "the descriptor", "half a line", "a program"),
    *("a shell's", "a program that reads", "reading", "250 lines"),
]

# Says which code it runs, after it has waited for a file if it was told of one.
VERSION = """
import os, pathlib, time
def handler(event, context):
    if event:
        pathlib.Path(event + ".begun").touch()
    while event and not pathlib.Path(event).exists():
        time.sleep(0.02)
    return [{version!r}, os.getpid()]
"""

# Takes a moment, and leaves a file that says in which process.
MANY = """
import os, pathlib, time
def handler(event, context):
    time.sleep(0.2)
    pathlib.Path({folder!r}, f"{{event}}.ended").write_text(str(os.getpid()))
"""


@dataclass
class Functions:
    """An emulator with functions of the tests' own."""

    client: Any
    logs: Any
    code: Path

    def create(self, name: str, source: str) -> str:
        """Create a function of one file, and return the hash of its code."""
        packed = _zip_of(source)
        made = self.client.create_function(
            FunctionName=name,
            Runtime=Target.this_machine().python_runtime,
            Role="arn:aws:iam::000000000000:role/any",
            Handler="index.handler",
            Code={"ZipFile": packed},
            Timeout=60,
        )
        digest = hashlib.sha256(packed).hexdigest()
        assert base64.b64decode(made["CodeSha256"]).hex() == digest
        return digest

    def update(self, name: str, source: str) -> None:
        """Give a function other code, as a deploy does."""
        self.client.update_function_code(FunctionName=name, ZipFile=_zip_of(source))

    def call(self, name: str, event: Any) -> Any:
        """Return what a function answers."""
        payload = json.dumps(event).encode()
        answer = self.client.invoke(FunctionName=name, Payload=payload)
        return json.loads(answer["Payload"].read())

    def lay(self, name: str, source: str) -> Path:
        """Lay a tree of code."""
        tree = self.code / name
        tree.mkdir()
        (tree / "index.py").write_text(source)
        return tree


def _zip_of(source: str) -> bytes:
    packed = io.BytesIO()
    file = zipfile.ZipInfo("index.py")  # its time doesn't pass: the same source is the same zip
    file.external_attr = 0o644 << 16
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(file, source)
    return packed.getvalue()


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Functions]:
    """Yield an emulator without our stack."""
    home = tmp_path_factory.mktemp("emulator")
    with emulator(home) as running:
        client, logs = (
            session(running.credentials).client(name, endpoint_url=running.endpoint_url)
            for name in ("lambda", "logs")
        )
        yield Functions(client, logs, home / CODE_FOLDER)


def test_nothing_that_a_function_prints_or_starts_can_forge_or_break_an_answer(
    functions: Functions,
) -> None:
    functions.create("forging", FORGING)
    answers = {way: functions.call("forging", way) for way in WAYS}
    assert answers == {way: f"what the function returned to {way}" for way in WAYS}


def test_what_a_function_prints_is_in_its_log(functions: Functions) -> None:
    source = "import os\ndef handler(event, context):\n    os.system('echo from a program')\n"
    functions.create("printing", source)
    functions.call("printing", None)
    answer = functions.client.invoke(FunctionName="printing", LogType="Tail", Payload=b"null")
    assert "from a program" in base64.b64decode(answer["LogResult"]).decode()


def test_a_line_is_in_the_log_once_and_before_the_call_ends(
    functions: Functions, tmp_path: Path
) -> None:
    functions.create(
        "telling", VERSION.format(version="told").replace("    if", "    print('said')\n    if", 1)
    )

    def said() -> int:
        with suppress(functions.logs.exceptions.ResourceNotFoundException):
            found = functions.logs.filter_log_events(logGroupName="/aws/lambda/telling")["events"]
            return [event["message"].strip() for event in found].count("said")
        return 0

    with running_call(functions, "telling", tmp_path / "go"):
        give_up = time.monotonic() + 60
        while not said():
            assert time.monotonic() < give_up
            time.sleep(0.02)
    assert said() == 1


def test_processes_share_their_code_and_nothing_that_they_write(functions: Functions) -> None:
    source = (
        "import os\n"
        "def handler(event, context):\n"
        "    before = os.path.exists('written')\n"
        "    open('written', 'w').close()\n"
        "    return [before, os.path.realpath(__file__), os.listdir()]\n"
    )
    digest = functions.create("one", source)
    assert functions.create("other", source) == digest
    answers = [functions.call(name, None) for name in ("one", "other")]
    tree = functions.code / digest
    for before, file, beside in answers:
        assert not before
        assert Path(file) == (tree / "index.py").resolve()
        assert sorted(beside) == ["index.py", "written"]
    assert {path.name for path in tree.iterdir()} <= {"index.py", "__pycache__"}


def test_code_that_is_put_in_force_is_what_the_next_call_runs(functions: Functions) -> None:
    digest = functions.create("changing", VERSION.format(version="old"))
    version, process = functions.call("changing", None)
    assert (version, process) == ("old", functions.call("changing", None)[1])
    activate(functions.code, digest, functions.lay("new", VERSION.format(version="new")))
    version, replaced = functions.call("changing", None)
    assert version == "new"
    assert replaced != process
    assert functions.call("changing", None) == ["new", replaced]  # once


@contextmanager
def running_call(functions: Functions, name: str, go: Path) -> Iterator[list[Any]]:
    """Have a call run until the end of the with statement; what it answered is then in the list."""
    answers: list[Any] = []
    call = threading.Thread(target=lambda: answers.append(functions.call(name, str(go))))
    call.start()
    begun, give_up = go.with_suffix(".begun"), time.monotonic() + 60
    while not begun.exists():
        assert time.monotonic() < give_up
        time.sleep(0.02)
    yield answers
    assert answers == []
    go.touch()
    call.join(timeout=60)


def test_a_call_that_runs_ends_with_the_code_that_it_began_with(
    functions: Functions, tmp_path: Path
) -> None:
    # What is in force goes by the code that was deployed: this function's is nobody else's.
    digest = functions.create("running", VERSION.format(version="older"))
    functions.call("running", None)  # a process is there
    with running_call(functions, "running", tmp_path / "go") as answers:
        activate(functions.code, digest, functions.lay("newer", VERSION.format(version="new")))
        assert functions.call("running", None)[0] == "new"  # beside it
    assert answers[0][0] == "older"
    assert functions.call("running", None)[0] == "new"


def test_a_deploy_cuts_no_call_short(functions: Functions, tmp_path: Path) -> None:
    functions.create("deployed", VERSION.format(version="before the deploy"))
    idle = functions.call("deployed", None)[1]
    with running_call(functions, "deployed", tmp_path / "go") as answers:
        functions.update("deployed", VERSION.format(version="after the deploy"))
        assert functions.call("deployed", None)[0] == "after the deploy"  # beside it
    assert answers[0] == ["before the deploy", idle]
    give_up = time.monotonic() + 60
    with suppress(ProcessLookupError):  # its process is no use any more
        while time.monotonic() < give_up:
            os.kill(idle, 0)
            time.sleep(0.02)
        raise AssertionError("its process is still there")


@pytest.mark.more
def test_only_some_of_many_events_run_at_the_same_time(
    functions: Functions, tmp_path: Path
) -> None:
    functions.create("many", MANY.format(folder=str(tmp_path)))
    number = 3 * 4 * (os.cpu_count() or 2)
    for event in range(number):
        payload = json.dumps(event).encode()
        functions.client.invoke(FunctionName="many", InvocationType="Event", Payload=payload)
    give_up = time.monotonic() + 60
    while len(list(tmp_path.glob("*.ended"))) < number:
        assert time.monotonic() < give_up
        time.sleep(0.1)
    processes = {path.read_text() for path in tmp_path.glob("*.ended")}
    assert len(processes) <= number // 3
