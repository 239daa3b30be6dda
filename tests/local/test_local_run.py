"""What a local run needs before it starts, and what it leaves when it ends."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError

from emulated_aws.emulator import emulator, start_group, stop_group
from fake_stack import OUTPUTS
from job_runners.cli.stack import Stack
from job_runners.local.options import LocalProblem
from job_runners.local.run_folder import announce, exclusive_folder
from job_runners.places import ROOT
from stack_clients import session

# --- the interpreter --------------------------------------------------------------------------


def script(folder: Path, name: str, text: str) -> Path:
    """Return a program on a PATH of the test's own."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def find_python(path: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the finder with only these on PATH."""
    return _sh("tools/find_python.sh", env={"PATH": path, **variables})


def _sh(
    *command: str, env: Mapping[str, str], cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    sh = shutil.which("sh")
    assert sh
    return subprocess.run(
        [sh, *command], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )


def test_a_name_that_fails_when_it_is_run_is_passed_over(tmp_path: Path) -> None:
    script(tmp_path, "python3.13", "echo 'command not found' >&2; exit 127")
    script(tmp_path, "python3", f'exec {sys.executable} "$@"')
    found = find_python(str(tmp_path))
    assert found.returncode == 0, found.stderr
    assert Path(found.stdout.strip()).resolve() == Path(sys.executable).resolve()


def test_an_interpreter_behind_a_failing_shim_of_its_name_is_found(tmp_path: Path) -> None:
    shims, real = tmp_path / "shims", tmp_path / "real"
    for folder in (shims, real):
        folder.mkdir()
    script(shims, "python3", "exit 1")
    script(real, "python3", f'exec {sys.executable} "$@"')
    assert find_python(f"{shims}:{real}").returncode == 0


@pytest.mark.parametrize(
    "program",
    ["echo 'it is Python 3.10'; exit 1", "echo \"No module named 'ensurepip'\"; exit 1"],
)
def test_no_usable_interpreter_is_said_with_what_to_do(tmp_path: Path, program: str) -> None:
    script(tmp_path, "python3", program)
    found = find_python(str(tmp_path))
    assert found.returncode == 1
    assert found.stdout == ""
    assert "make PYTHON=" in found.stderr


def test_an_interpreter_that_is_named_is_taken_or_refused_but_never_replaced(
    tmp_path: Path,
) -> None:
    script(tmp_path, "python3", f'exec {sys.executable} "$@"')
    head = shutil.which("head")
    assert head
    (tmp_path / "head").symlink_to(head)
    broken = script(tmp_path, "mine", "echo 'it is Python 3.9'; exit 1")
    found = find_python(str(tmp_path), PYTHON=str(broken))
    assert found.returncode == 1
    assert f"PYTHON={broken} can't be used: it is Python 3.9" in found.stderr


# --- the environments -------------------------------------------------------------------------


def make_environment(folder: Path) -> str:
    """Make an environment with nothing in it; what was said."""
    env = {"PATH": "/usr/bin:/bin", "PYTHON": sys.executable}
    made = _sh("tools/make_environment.sh", "env", "lock.txt", env=env, cwd=folder)
    assert made.returncode == 0, made.stderr
    return made.stderr


@pytest.mark.more
def test_an_environment_is_made_again_only_when_it_has_to_be(tmp_path: Path) -> None:
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    lock = tmp_path / "lock.txt"
    lock.write_text("# nothing\n")
    (tmp_path / "env").mkdir()  # half-made: an interrupted one has no stamp
    assert "Making env" in make_environment(tmp_path)
    assert make_environment(tmp_path) == ""
    lock.write_text("# another version of nothing\n")
    assert "Making env" in make_environment(tmp_path)


# --- the run ----------------------------------------------------------------------------------


def test_the_folder_is_there_only_during_the_run(tmp_path: Path) -> None:
    with exclusive_folder(tmp_path / ".local") as home:
        (home / "file").touch()
    assert not home.exists()


def test_a_second_run_is_told_where_the_first_is_and_leaves_it_alone(tmp_path: Path) -> None:
    with exclusive_folder(tmp_path / ".local") as home:
        (home / "stack.json").write_text('{"api_url": "http://127.0.0.1:4566/api"}')
        second = exclusive_folder(tmp_path / ".local")
        with (
            pytest.raises(LocalProblem, match=r"already up at http://127\.0\.0\.1:4566/api"),
            second,
        ):
            pass
        assert (home / "stack.json").exists()


def test_a_second_run_is_told_when_the_first_is_not_up_yet_or_no_more(tmp_path: Path) -> None:
    second = exclusive_folder(tmp_path / ".local")
    with (
        exclusive_folder(tmp_path / ".local"),
        pytest.raises(LocalProblem, match="starting, or stopping"),
    ):
        second.__enter__()


def test_the_files_of_a_run_that_was_killed_are_removed_by_the_next_run(tmp_path: Path) -> None:
    left = tmp_path / ".local" / "tmp" / "file"
    left.parent.mkdir(parents=True)
    left.touch()
    with exclusive_folder(tmp_path / ".local") as home:
        assert list(home.iterdir()) == []


def test_nothing_says_that_a_run_is_up_once_it_is_stopping(tmp_path: Path) -> None:
    stack = Stack.from_outputs("job-runners", "us-east-1", {**OUTPUTS, "ApiId": "abc"}, "http://a")
    with exclusive_folder(tmp_path / ".local") as home:
        with announce(stack, home):
            assert {path.name for path in home.iterdir()} == {"stack.json", "env.json", "env.sh"}
        assert list(home.iterdir()) == []


@pytest.mark.e2e
def test_a_queue_that_somebody_polls_holds_nobody_who_pressed_ctrl_c(tmp_path: Path) -> None:
    with emulator(tmp_path) as running:
        sqs = session(running.credentials).client("sqs", endpoint_url=running.endpoint_url)
        url = sqs.create_queue(QueueName="queue")["QueueUrl"]

        def poll() -> None:
            with contextlib.suppress(BotoCoreError):
                sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)

        polling = threading.Thread(target=poll)
        polling.start()
        time.sleep(0.5)
    assert running.process.returncode == 0  # it ended by itself, before it was made to
    polling.join()


def test_a_process_that_does_not_end_when_asked_is_made_to(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        command = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"]
        process = start_group(command, os.environ, tmp_path, log)
    while not (tmp_path / "log").read_text():
        time.sleep(0.05)
    stop_group(process.pid, process)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.e2e
def test_a_run_that_is_killed_outright_leaves_no_process(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from emulated_aws.emulator import emulator\n"
        "with emulator(Path(sys.argv[1])) as running:\n"
        "    print(running.process.pid, flush=True); time.sleep(600)"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'support'}"},
        stdout=subprocess.PIPE,
    )
    with run:
        assert run.stdout is not None
        leader = int(run.stdout.readline())
        assert members(leader)
        run.kill()
    deadline = time.monotonic() + 60
    while members(leader) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert members(leader) == []


def members(leader: int) -> list[str]:
    """Return the processes of a group that have not ended."""
    shown = subprocess.run(
        ["ps", "-A", "-o", "pgid=,stat=,command="], capture_output=True, text=True, check=True
    )
    lines = [line.split(None, 2) for line in shown.stdout.splitlines()]
    return [command for group, state, command in lines if int(group) == leader and "Z" not in state]


@pytest.mark.more
def test_tests_that_press_ctrl_c_hold_where_it_is_ignored() -> None:
    """As in `make test &`: what a shell starts in the background ignores it, and its children."""
    tests = [
        "tests/cli/test_jobs_watch.py::test_ctrl_c_leaves_the_job_alone_and_says_so",
        "tests/cli/test_jobs_dashboard.py::"
        "test_the_page_is_served_until_it_is_stopped_and_its_calls_are_signed",
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *tests]
    done = _sh("-c", 'trap "" INT; exec "$@"', "sh", *command, env=os.environ)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_only_its_owner_reads_the_credentials_of_a_run(tmp_path: Path) -> None:
    outputs = {**OUTPUTS, "ApiId": "abc"}
    stack = Stack.from_outputs("job-runners", "us-east-1", outputs, "http://127.0.0.1:4566")
    stack = replace(stack, aws_access_key_id="key", aws_secret_access_key="hidden")
    assert "hidden" not in repr(stack)
    with exclusive_folder(tmp_path / ".local") as home:
        (home / "stack.json").write_text("{}")  # whatever its mode was
        with announce(stack, home):
            assert Stack.load(home / "stack.json") == stack
            modes = {path.name: path.stat().st_mode & 0o777 for path in (home, *home.iterdir())}
            wanted = {".local": 0o700, "stack.json": 0o600, "env.sh": 0o600, "env.json": 0o600}
            assert modes == wanted
            said = _sh("-c", f". {home / 'env.sh'}; env", env={"AWS_PROFILE": "mine"})
    variables = dict(line.split("=", 1) for line in said.stdout.splitlines())
    ours = ("AWS_", "JOB_RUNNERS_")
    assert {name: value for name, value in variables.items() if name.startswith(ours)} == {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "hidden",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
        "JOB_RUNNERS_STACK": "job-runners",
    }
