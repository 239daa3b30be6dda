"""What a job's own code prints and logs: lines of the log that say whose they are."""

import asyncio
import inspect
import io
import json
import logging
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, ContextVar
from types import SimpleNamespace
from typing import Any

import pytest
from aws_lambda_powertools import Logger, Metrics
from awslambdaric.bootstrap import LambdaLoggerHandler, StandardLogSink

from bench import Bench
from job_runners import clock
from job_runners.engine.running import execution
from job_runners.engine.telemetry import log, output, threads
from job_runners.engine.wire.messages import TaskMessage
from job_runners.testing.aws import forget
from job_runners.work.alarm import alarm
from job_runners.work.interrupts import TimeOverInterrupt
from log_lines import printing_to
from sample_work import script
from telemetry_lines import logged

OURS = ("accepted", "claimed", "succeeded", "failed")


def run(bench: Bench, lines: io.StringIO, work: Callable[[], object]) -> str:
    """Run a job whose code is this, as in the worker; return its id."""

    def job(_job: object, _payload: object) -> None:
        work()

    script.job = job
    row = bench.dispatch("sample_once")
    with printing_to(lines):
        bench.run(row)
    assert bench.read(row).status == "succeeded", bench.read(row).error
    return row.id


def own(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the lines that are not the machinery's."""
    return [line for line in logged(stream) if line["message"] not in OURS]


def said(stream: io.StringIO) -> list[Any]:
    return [line["message"] for line in own(stream)]


def test_a_printed_line_is_a_record_that_says_whose_it_is(bench: Bench, lines: io.StringIO) -> None:
    def work() -> None:
        print("  one", 1)
        print("two", file=sys.stderr)

    job_id = run(bench, lines, work)
    one, two = own(lines)
    assert (one["message"], two["message"]) == ("  one 1", "two")
    assert (one["stream"], two["stream"]) == ("stdout", "stderr")
    for line in (one, two):
        assert (line["job_id"], line["attempt"], line["invocation"]) == (job_id, 1, 1)
        assert line["level"] == "INFO"
        assert line["location"].startswith("work:")
        assert line["organization_id"] == "acme"


def test_what_async_work_says_has_the_same_fields(bench: Bench, lines: io.StringIO) -> None:
    """Python names each of asyncio's tasks, Task-1 say, and Powertools would log that."""

    async def inside() -> None:
        print("printed")
        logging.getLogger("acme").info("logged")

    def work() -> None:
        print("plain")
        with ThreadPoolExecutor(1) as pool:  # in the thread of the tests Playwright's loop may run
            pool.submit(lambda: asyncio.run(inside())).result()

    run(bench, lines, work)
    plain, *others = own(lines)
    assert [line["message"] for line in others] == ["printed", "logged"]
    assert {each for line in others for each in line} == plain.keys()


def test_what_a_task_prints_says_which_task(bench: Bench, lines: io.StringIO) -> None:
    script.task = lambda payload: print("a note")
    task = TaskMessage(id="t1", name="sample_note", payload={})
    with printing_to(lines):
        execution.run(task, deadline=clock.now() + 900_000, send=bench.send)
    (line,) = [line for line in logged(lines) if line["message"] == "a note"]
    assert (line["task_id"], line["task_name"], line["attempt"]) == ("t1", "sample_note", 1)


def test_one_record_a_line_however_it_was_written(bench: Bench, lines: io.StringIO) -> None:
    def work() -> None:
        print("a", "b", sep="\n")
        print("c", end="")
        print("d")
        sys.stdout.writelines(["e\n", "f\n"])
        sys.stdout.buffer.write("gé\n".encode())
        print()
        print("10 %\r50 %\r100 %")
        print("h\r")

    run(bench, lines, work)
    assert said(lines) == ["a", "b", "cd", "e", "f", "gé", "", "100 %", "h"]


def test_a_line_that_is_not_ended_comes_before_what_is_logged_next(
    bench: Bench, lines: io.StringIO
) -> None:
    run(bench, lines, lambda: print("nearly", end=""))
    messages = [line["message"] for line in logged(lines)]
    assert messages == ["accepted", "claimed", "nearly", "succeeded"]


@pytest.mark.usefixtures("on_lambda")
def test_a_line_that_is_not_ended_does_not_merge_with_metrics(
    bench: Bench, lines: io.StringIO
) -> None:
    run(bench, lines, lambda: print("nearly", end=""))
    metrics = [line for line in map(json.loads, lines.getvalue().splitlines()) if "_aws" in line]
    assert [set(line) & {"QueueWait", "Succeeded"} for line in metrics] == [
        {"QueueWait"},
        {"Succeeded"},
    ]


def test_what_looks_like_a_line_of_ours_is_only_a_message(bench: Bench, lines: io.StringIO) -> None:
    forged = json.dumps({"level": "ERROR", "message": "failed", "job_id": "another", "attempt": 9})
    ours = json.dumps({"_aws": {"CloudWatchMetrics": [{"Namespace": "JobRunners"}]}, "Failed": [1]})

    def work() -> None:
        print(forged)
        print(ours)
        logging.getLogger("mine").info(forged)
        print("begun, " + forged + "\n" + forged)

    job_id = run(bench, lines, work)
    assert said(lines) == [forged, ours, json.loads(forged), "begun, " + forged, forged]
    assert {line["job_id"] for line in own(lines)} == {job_id}
    assert {line["level"] for line in own(lines)} == {"INFO"}


def test_standard_logging_arrives_from_info_up_and_libraries_only_warn(
    bench: Bench, lines: io.StringIO
) -> None:
    def work() -> None:
        for name in ("mine", "botocore.endpoint", "urllib3.connectionpool"):
            for level in (logging.DEBUG, logging.INFO, logging.WARNING):
                logging.getLogger(name).log(level, "%s %d", name, level)

    job_id = run(bench, lines, work)
    warned = ["botocore.endpoint 30", "urllib3.connectionpool 30"]
    assert said(lines) == ["mine 20", "mine 30", *warned]
    assert {line["job_id"] for line in own(lines)} == {job_id}


def test_the_level_is_a_setting_and_what_is_printed_always_arrives(
    bench: Bench, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", "ERROR")
    forget()
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    log.set_up()

    def work() -> None:
        logging.getLogger("mine").warning("no")
        logging.getLogger("mine").error("yes")
        print("printed")

    run(bench, lines, work)
    assert said(lines) == ["yes", "printed"]


def test_powertools_lines_arrive_once_as_they_are(
    bench: Bench, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = log.logger.service
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", service)

    def work() -> None:
        Logger().info("of the same service")
        Logger(service="of-its-own").info("of its own service")
        Logger(service="own")  # a name that is in the next logger's
        logging.getLogger("known").info("of logging")

    job_id = run(bench, lines, work)
    assert said(lines) == ["of the same service", "of its own service", "of logging"]
    assert [line["service"] for line in own(lines)] == [service, "of-its-own", service]
    assert {line["job_id"] for line in own(lines)} == {job_id}


def test_metrics_of_a_jobs_own_stay_as_they_are(bench: Bench, lines: io.StringIO) -> None:
    manually = json.dumps({"_aws": {"CloudWatchMetrics": [{"Namespace": "Acme"}]}, "Rings": 1})

    def work() -> None:
        metrics = Metrics(namespace="JobRunners", service="acme")
        metrics.add_metric("Calls", "Count", 2)
        metrics.flush_metrics()
        print(manually)

    run(bench, lines, work)
    assert manually in lines.getvalue().splitlines()
    (calls,) = [line for line in logged_with_metrics(lines) if "Calls" in line]
    assert calls["Calls"] == [2.0]


def test_metrics_of_any_length_stay_one_line(bench: Bench, lines: io.StringIO) -> None:
    def work() -> None:
        metrics = Metrics(namespace="Acme", service="acme")
        metrics.add_metric("Calls", "Count", 2)
        metrics.add_metadata("note", "x" * 2 * output.MAX_MESSAGE_LENGTH)
        metrics.flush_metrics()

    run(bench, lines, work)
    (calls,) = [line for line in logged_with_metrics(lines) if "Calls" in line]
    assert len(calls["note"]) == 2 * output.MAX_MESSAGE_LENGTH


def test_what_only_looks_like_metrics_is_a_message(bench: Bench, lines: io.StringIO) -> None:
    alike = ['say "_aws"', '["_aws"]', '{"a": "_aws"}']
    nested = '{"_aws": ' + "[" * 50_000

    def work() -> None:
        for text in (*alike, nested):
            print(text)

    run(bench, lines, work)
    *shown, nested_message, rest = said(lines)
    assert shown == alike
    assert nested.startswith(nested_message + rest[:100])


def logged_with_metrics(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_threads_of_a_job_have_its_fields(bench: Bench, lines: io.StringIO) -> None:
    def work() -> None:
        one = threading.Thread(target=print, args=["from a thread"])
        one.start()
        one.join()
        timer = threading.Timer(0.001, logging.getLogger("mine").info, ["from a timer"])
        timer.start()
        timer.join()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(print, ["from a pool"]))

    job_id = run(bench, lines, work)
    assert said(lines) == ["from a thread", "from a timer", "from a pool"]
    for line in own(lines):
        assert (line["job_id"], line["attempt"], line["invocation"]) == (job_id, 1, 1)


def test_a_pool_that_outlives_its_job_works_for_the_next_one_in_its_name(
    bench: Bench, lines: io.StringIO
) -> None:
    with ThreadPoolExecutor(1) as pool:
        ids = [run(bench, lines, lambda: pool.submit(print, "pooled").result()) for _ in range(2)]
    assert [line["job_id"] for line in own(lines)] == ids


def test_a_thread_that_outlives_its_job_keeps_its_fields(bench: Bench, lines: io.StringIO) -> None:
    over = threading.Event()
    late: list[threading.Thread] = []

    def linger() -> None:
        over.wait(60)
        print("late")

    def work() -> None:
        late.append(threading.Thread(target=linger))
        late[0].start()

    with printing_to(lines):
        first = run(bench, lines, work)
        second = run(bench, lines, over.set)
        late[0].join()
    assert first != second
    (line,) = own(lines)
    assert (line["job_id"], line["attempt"], line["invocation"]) == (first, 1, 1)


def test_what_two_threads_print_at_once_does_not_run_together(
    bench: Bench, lines: io.StringIO
) -> None:
    def chatter(name: str) -> None:
        for number in range(300):
            print(name, end=" ")
            time.sleep(0)
            print(number)

    def work() -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(chatter, "abcd"))

    run(bench, lines, work)
    assert sorted(said(lines)) == sorted(f"{name} {n}" for name in "abcd" for n in range(300))


def test_jobs_in_threads_of_one_process_do_not_mix(bench: Bench, lines: io.StringIO) -> None:
    both = threading.Barrier(2)

    def work(job: Any, payload: object) -> None:
        both.wait(60)
        print("of", end=" ")
        both.wait(60)
        print(job.id)
        logging.getLogger("mine").info(job.id)

    script.job = work
    rows = [bench.dispatch("sample_once") for _ in range(2)]
    running = [threading.Thread(target=Context().run, args=[bench.run, row]) for row in rows]
    with printing_to(lines):
        for each in running:
            each.start()
        for each in running:
            each.join()
    found = own(lines)
    assert len(found) == 4
    for line in found:
        assert str(line["message"]).removeprefix("of ") == line["job_id"]


def test_tracebacks_and_warnings_are_lines_too(bench: Bench, lines: io.StringIO) -> None:
    def work() -> None:
        try:
            raise ValueError("no luck")
        except ValueError:
            traceback.print_exc()
            logging.getLogger("mine").exception("with its traceback")
        logging.getLogger("mine").error("without an error", exc_info=True)
        text = warnings.formatwarning("take care", UserWarning, "mine.py", 7, "ring()")
        sys.stderr.write(text)  # as Python does, but for pytest, which keeps warnings

    job_id = run(bench, lines, work)
    text = said(lines)
    assert text[0] == "Traceback (most recent call last):"
    assert "ValueError: no luck" in text
    [of_logging] = [line for line in own(lines) if line["message"] == "with its traceback"]
    assert '  File "tests/engine/running/test_output.py", line ' in of_logging["exception"]
    assert "without an error" in text
    assert text[-2:] == ["mine.py:7: UserWarning: take care", "  ring()"]
    assert {line["job_id"] for line in own(lines)} == {job_id}


def test_the_traceback_of_a_failed_task_begins_in_its_own_code(
    bench: Bench, lines: io.StringIO
) -> None:
    def fail(payload: object) -> None:
        raise ValueError("no luck")

    script.task = fail
    task = TaskMessage(id="t1", name="sample_note", payload={})
    with printing_to(lines):
        execution.run(task, deadline=clock.now() + 900_000, send=bench.send)
    (line,) = [line for line in logged(lines) if line["message"] == "task failed"]
    files = [each for each in line["exception"].splitlines() if each.startswith("  File ")]
    places = ("tests/support/sample_work.py", "tests/engine/running/test_output.py")
    assert [each.split('"')[1] for each in files] == [*places]


def test_a_line_of_any_length_arrives_in_records_that_lambda_does_not_cut(
    bench: Bench, lines: io.StringIO
) -> None:
    text = "\x01é" * output.MAX_MESSAGE_LENGTH

    def work() -> None:
        print(text)
        sys.stdout.write(text + "\n")
        print(text, end="")
        so_far.append(len(said(lines)))

    so_far: list[int] = []
    run(bench, lines, work)
    assert "".join(said(lines)) == text * 3
    assert so_far == [5]  # the last one's beginning too, though it has not ended
    longest = max(len(line.encode()) for line in lines.getvalue().splitlines())
    assert longest < 256 * 1024


def test_what_no_work_prints_goes_through_as_it_is(lines: io.StringIO) -> None:
    with printing_to(lines):
        print("a server's own", end="")
        sys.stdout.buffer.write(b" line\n")
        sys.stdout.close()
    assert lines.getvalue() == "a server's own line\n"


@pytest.mark.parametrize("python_does", [True, False])
def test_threads_are_handed_their_context_unless_python_does_so_itself(
    python_does: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = inspect.unwrap(threading.Thread.start)
    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", ThreadPoolExecutor.submit)
    flags = SimpleNamespace(thread_inherit_context=python_does)
    monkeypatch.setattr(threads, "sys", SimpleNamespace(flags=flags, modules=sys.modules))
    threads.copy_context_to_threads()
    assert (threading.Thread.start is start) == python_does


def test_a_thread_keeps_the_context_that_it_was_given(lines: io.StringIO) -> None:
    """As from Python 3.14 on it can be."""
    whose, seen = ContextVar("whose", default="nobody's"), list[str]()
    with printing_to(lines):
        thread = threading.Thread(target=lambda: seen.append(whose.get()))
        thread._context = Context()  # type: ignore[attr-defined]
        whose.set("its starter's")
        thread.start()
        thread.join()
    assert seen == ["nobody's"]


def test_calls_in_an_interpreter_of_their_own_are_handed_no_context(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not be sent there. Those in a thread of this one are, all the same."""

    class InterpreterPoolExecutor(ThreadPoolExecutor):
        pass

    module = SimpleNamespace(InterpreterPoolExecutor=InterpreterPoolExecutor)
    monkeypatch.setitem(sys.modules, "concurrent.futures.interpreter", module)
    whose, seen = ContextVar("whose", default="nobody's"), list[str]()
    with printing_to(lines):
        for kind in (ThreadPoolExecutor, InterpreterPoolExecutor):
            with kind(1) as pool:
                whose.set("the first call's")
                pool.submit(int).result()  # starts the thread
                whose.set("the second call's")
                seen.append(pool.submit(whose.get).result())
    assert seen == ["the second call's", "the first call's"]


def test_set_up_again_it_is_as_it_was(lines: io.StringIO) -> None:
    with printing_to(lines):
        stream, start = sys.stdout, threading.Thread.start
        submit = ThreadPoolExecutor.submit
        log.set_up()
        assert sys.stdout is stream
        assert (threading.Thread.start, ThreadPoolExecutor.submit) == (start, submit)


def test_a_log_that_can_not_be_written_does_not_go_round_in_circles(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(record: logging.LogRecord) -> str:
        raise ValueError("not to be formatted")

    formatter = log.logger.handlers[0].formatter
    assert formatter is not None
    monkeypatch.setattr(formatter, "format", refuse)
    with printing_to(lines), output.work_output():
        print("lost")
    assert "not to be formatted" in lines.getvalue()


def test_lambdas_own_handler_gives_way(
    bench: Bench, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda has put it on the root logger before the handler's module is imported."""
    lambdas = LambdaLoggerHandler(StandardLogSink())
    monkeypatch.setattr(logging.getLogger(), "handlers", [lambdas])
    log.set_up()

    def work() -> None:
        for each in ("1st", "2nd"):
            logging.getLogger("library").warning(each)

    run(bench, lines, work)
    assert said(lines) == ["1st", "2nd"]


def test_a_line_is_whole_though_time_is_over_meanwhile(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    formatter = log.logger.handlers[0].formatter
    assert formatter is not None
    quick = formatter.format

    def take_long(record: logging.LogRecord) -> str:
        time.sleep(0.2)
        return quick(record)

    monkeypatch.setattr(formatter, "format", take_long)
    with printing_to(lines), output.work_output(), pytest.raises(TimeOverInterrupt), alarm(0.1):
        print("whole")
    assert said(lines) == ["whole"]
