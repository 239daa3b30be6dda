"""The `location` of a log line is who says it, not the helper that has the wording."""

import ast
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import Bench
from job_runners import runners, settings
from job_runners.engine.control import caller_actions
from job_runners.engine.telemetry import telemetry, tracebacks
from job_runners.places import ROOT
from sample_work import script
from telemetry_lines import logged


def locations(stream: io.StringIO) -> dict[str, str]:
    """Which function each line names, by the line's message."""
    return {line["message"]: line["location"].split(":")[0] for line in logged(stream)}


def fails(job: Any, payload: object) -> None:
    raise ValueError("no luck")


def test_a_line_names_the_function_that_said_it(bench: Bench, lines: io.StringIO) -> None:
    script.job = fails
    row = bench.run(bench.dispatch())
    caller_actions.cancel(row)
    said = locations(lines)
    assert said["accepted"] == "save_checked"
    assert said["claimed"] == "run_job"  # through a context manager
    assert said["cancel"] == "_write_cancel"


def test_no_line_names_the_file_that_has_the_wording(
    bench: Bench, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKS_SYNC", "true")
    script.job = fails
    row = bench.dispatch()
    for _ in range(3):
        bench.advance(120)
        row = bench.run(row)  # tried again, tried again, failed
    bench.run(row)  # not claimed
    caller_actions.retry_again(row, bench.send)
    script.job = lambda job, payload: caller_actions.cancel(bench.read(job.id))
    bench.run(row)
    runners.dispatch_task("sample_note", {})
    bench.tick()
    source = ast.parse(Path(telemetry.__file__).read_text())
    own = {node.name for node in ast.walk(source) if isinstance(node, ast.FunctionDef)}
    said = locations(lines)
    assert {"failed", "canceled", "not claimed", "queued again", "cancel", "task done"} <= set(said)
    assert {text: name for text, name in said.items() if name in own | {"__enter__"}} == {}


@pytest.mark.parametrize(
    "say",
    [
        lambda: telemetry.crashed(ValueError("no luck")),
        lambda: telemetry.race_lost(ValueError("no luck")),
        lambda: telemetry.not_settled("gone"),
    ],
)
def test_it_is_the_very_line_that_said_it(lines: io.StringIO, say: Callable[[], None]) -> None:
    say()
    (line,) = logged(lines)
    assert line["location"] == f"<lambda>:{say.__code__.co_firstlineno}"


def test_a_traceback_names_a_file_of_an_app_as_it_is_in_its_project() -> None:
    """Not as the build has copied it."""
    names_file(ROOT / "acme_built" / "lists.py")


def test_a_traceback_names_a_file_of_a_project_that_is_not_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_PROJECT", str(tmp_path))
    settings.forget()
    names_file(tmp_path / "acme_built" / "lists.py")


def names_file(path: Path) -> None:
    """Assert that a traceback begins the path at the project."""
    code = compile("1 / 0", path, "exec")
    with pytest.raises(ZeroDivisionError) as raised:
        exec(code)
    place = tracebacks.format_error(raised.value).splitlines()[-2]
    assert place.startswith('  File "acme_built/lists.py", line 1')
