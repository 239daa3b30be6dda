"""What `job-runners run` shows of jobs and tasks, from the lines that the engine writes."""

import ast
import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import Bench
from job_runners.engine.control import caller_actions, signaling
from job_runners.engine.lines import pausing
from job_runners.engine.telemetry import telemetry
from job_runners.engine.wire.messages import TaskMessage
from job_runners.engine.wire.sending import CANNOT_SEND
from job_runners.local.job_stream import _EVENTS, JobStream
from job_runners.store import limits
from job_runners.store.job_request import JobRequest, new_id
from job_runners.store.pauses import Kind
from job_runners.work import Member, RunningJob
from log_lines import printing_to
from sample_work import script

FUNCTION = "worker"
# Shown behind a bar, like a line of the work: only with LOG_PAYLOADS, or no line of a job.
AS_PRINTED = {
    "forwarded",
    "payload",
    "not begun: another message has",
    "schedule declared",
    "schedule removed",
    "limits changed",
    "limits reset",
}
TRACEBACK = ["| Traceback (most recent call last):", "|   File "]


class Shown:
    """A stream, and what it shows."""

    def __init__(self, *, quiet: bool = False, width: int | None = None) -> None:
        self.out = io.StringIO()
        console = Console(
            file=self.out, highlight=False, soft_wrap=True, force_terminal=bool(width), width=width
        )
        self.stream = JobStream(console, quiet=quiet)

    def of(self, logged: io.StringIO) -> list[str]:
        """Show these lines. Return the terminal's lines, without times and ids."""
        lines = [(FUNCTION, line) for line in logged.getvalue().splitlines()]
        self.stream.show(lines)
        return [
            re.sub(r"^\d\d:\d\d:\d\d (\w+) \w+  ", r"TIME \1  ", line)
            for line in self.out.getvalue().splitlines()
        ]


def without_code(shown: list[str]) -> list[str]:
    """Leave out the lines of tracebacks that show code."""
    return [re.sub(r", line \d+", "", line) for line in shown if not re.match(r"  \|     ", line)]


@pytest.fixture
def run(bench: Bench, lines: io.StringIO) -> Callable[[JobRequest], JobRequest]:
    def run_it(row: JobRequest) -> JobRequest:
        with printing_to(lines):
            return bench.run(row)

    return run_it


def test_the_life_of_a_job_and_its_printed_lines(
    bench: Bench, lines: io.StringIO, run: Callable[[JobRequest], JobRequest]
) -> None:
    def work(job: Any, payload: Any) -> None:
        sys.stdout.write("12 of 40 done\n")
        sys.stdout.write(json.dumps({"message": "failed", "run_ms": 1, "job_id": job.id}))

    script.job = work
    run(bench.dispatch())
    shown = Shown().of(lines)
    assert shown[:2] == ["TIME sample_again  started", "  | 12 of 40 done"]
    assert shown[2].startswith('  | {"message": "failed"')
    assert re.fullmatch(r"  succeeded \d+ ms", shown[3])
    assert len(shown) == 4
    assert Shown(quiet=True).of(lines) == []


def test_a_failure_shows_the_frames_of_the_work_first(
    bench: Bench, lines: io.StringIO, run: Callable[[JobRequest], JobRequest]
) -> None:
    def work(job: Any, payload: Any) -> None:
        raise ValueError("no answer\n12:00:00 sample_again 1234  succeeded")

    script.job = work
    row = bench.dispatch()
    for _ in range(3):
        run(row)
        bench.advance(60)
    shown = without_code(Shown().of(lines))
    error = [
        "  | Traceback (most recent call last):",
        '  |   File "tests/support/sample_work.py", in again',
        '  |   File "tests/support/sample_work.py", in once',
        '  |   File "tests/engine/telemetry/test_job_stream.py", in work',
        "  | ValueError: no answer",
        "  | 12:00:00 sample_again 1234  succeeded",
    ]
    assert shown[0] == "TIME sample_again  started"
    assert re.fullmatch(r"  failed, retries (now|in \d s)", shown[1])
    assert shown[2:8] == error
    assert shown[8] == "TIME sample_again  started attempt 2"
    assert shown[-2].startswith("  failed ")
    again = "  | ValueError: no answer (again, with the traceback above)"
    assert [line for line in shown[8:] if "|" in line] == [again] * 2
    failures = [line for line in without_code(Shown(quiet=True).of(lines)) if "|" not in line]
    assert [line.rstrip("0123456789 ms") for line in failures][-1].startswith("  failed")
    assert len(failures) == 3


def test_waits_and_cancels_are_shown(
    bench: Bench, lines: io.StringIO, run: Callable[[JobRequest], JobRequest]
) -> None:
    limits.put("texts", slots=1)
    first, second = (bench.dispatch(queue_name="texts") for _ in range(2))

    def work(job: RunningJob, _: Any) -> None:
        script.job = lambda *_: None
        bench.run(second)  # the only slot is taken
        job.sleep("nap", 3600)

    script.job = work
    run(first)
    pausing.pause(Kind.QUEUE, "texts")
    run(second)
    caller_actions.cancel(bench.read(second))
    shown = [re.sub(r" \d\d:\d\d:\d\d", " TIME", line) for line in Shown().of(lines)]
    assert shown == [
        "TIME sample_again  started",
        "TIME sample_again  waits for capacity in queue texts",
        "TIME sample_again  sleeps until TIME (nap)",
        "TIME sample_again  waits: queue texts is paused",
        "  canceled",
    ]


def test_waits_for_signals_and_groups_are_shown(
    bench: Bench, lines: io.StringIO, run: Callable[[JobRequest], JobRequest]
) -> None:
    def work(job: RunningJob, _: Any) -> None:
        job.wait_for_any(["paid", "refused"], timeout=60, label="payment")
        job.gather("parts", [Member("sample_once")])

    script.job = work
    row = run(bench.dispatch())
    with printing_to(lines):
        signaling.signal(row, "paid", True, CANNOT_SEND)
    run(row)
    script.job = lambda *_: None
    with printing_to(lines):
        bench.run_out()
    shown = [re.sub(r"\d+ ms", "1 ms", line) for line in Shown().of(lines)]
    assert shown == [
        "TIME sample_again  started",
        "  waits for signal paid, refused",
        "  got signal paid",
        "TIME sample_again  continues, invocation 2",
        "  waits for group parts",
        "TIME sample_once  started",
        "  succeeded 1 ms",
        "TIME sample_again  continues, invocation 3",
        "  succeeded 1 ms",
    ]


def test_a_task_is_shown_until_it_is_done_or_has_failed(bench: Bench, lines: io.StringIO) -> None:
    def work(payload: Any) -> None:
        sys.stdout.write("ringing\n")
        if payload.number == 2:
            raise ValueError("no answer")

    script.task = work
    with printing_to(lines):
        for number in (1, 2):
            bench.run_message(TaskMessage(new_id(), "sample_note", {"number": number}))
    shown = without_code(Shown().of(lines))
    assert shown[:3] == ["TIME sample_note  | ringing", "  done", "TIME sample_note  | ringing"]
    assert shown[3] == "  failed"
    assert shown[-1] == "  | ValueError: no answer"


def test_what_work_logs_is_never_an_event(bench: Bench, lines: io.StringIO) -> None:
    """Only the engine's own lines have the other fields, so that no message can fake an event."""
    for message in _EVENTS:
        record = {"message": message, "level": "INFO", "job_id": "a" * 32, "job_type": "mine"}
        lines.write(json.dumps(record | {"location": "work:3"}) + "\n")
    assert Shown().of(lines) == [
        "TIME mine  | accepted",
        *(f"  | {message}" for message in [*_EVENTS][1:]),
    ]


def test_no_printed_text_controls_the_terminal_or_leaves_its_bar() -> None:
    text = f"\x1b[2J\r\u202e{'ab' * 40}"
    line = {"message": text, "stream": "stdout", "job_id": "a" * 32, "job_type": "mine"}
    shown = Shown(width=40)
    shown.stream.show([(FUNCTION, json.dumps(line))] * 2)
    said = re.sub(r"\x1b\[\d*m", "", shown.out.getvalue()).splitlines()
    assert not [each for each in "".join(said) if not each.isprintable()]
    assert max(map(len, said)) <= 40
    assert all(line.startswith("  | ") for line in said[1:])
    assert "".join(line[-36:] for line in said).count("ab") >= 70


def test_a_line_with_many_nested_brackets_is_shown_as_text() -> None:
    shown = Shown()
    shown.stream.show([(FUNCTION, '{"message": ' + "[" * 50_000), (FUNCTION, "well")])
    assert "well" in shown.out.getvalue()


def test_a_flood_is_cut(bench: Bench) -> None:
    line = {"message": "x", "stream": "stdout", "job_id": "a" * 32, "job_type": "mine"}
    shown = Shown()
    shown.stream.show([(FUNCTION, json.dumps(line))] * 5_000)
    said = shown.out.getvalue().splitlines()
    assert len(said) == 201
    assert said[-1] == "  | … and 4,800 more lines"


def test_lines_of_other_work_between_name_the_job_again() -> None:
    shown = Shown()
    for job in "aab":
        line = {"message": job, "stream": "stdout", "job_id": job * 32, "job_type": "mine"}
        shown.stream.show([(FUNCTION, json.dumps(line))])
    shown.stream.note("Reloaded: mine")
    shown.stream.show([(FUNCTION, json.dumps(line)), (FUNCTION, "from a program")])
    said = [line[9:] if line[2] == ":" else line for line in shown.out.getvalue().splitlines()]
    assert said == [
        "mine aaaa  | a",
        "  | a",
        "mine bbbb  | b",
        "  Reloaded: mine",
        "mine bbbb  | b",
        "worker  | from a program",
    ]


def messages() -> Iterator[str]:
    """Yield the messages of the engine's lines of level INFO."""
    for call in ast.walk(ast.parse(Path(telemetry.__file__).read_text())):
        match call:
            case ast.Call(
                func=ast.Attribute(attr="write"),
                args=[ast.Attribute(attr="info"), ast.Constant(value=str(message)), *_],
            ):
                yield message


def test_each_line_of_the_engine_is_described() -> None:
    found = set(messages())
    assert {"succeeded", "claimed"} <= found
    schedules = {each for each in found if each.startswith("schedule")}
    assert found - _EVENTS.keys() - AS_PRINTED - schedules == set()
