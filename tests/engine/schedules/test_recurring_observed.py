"""What is logged and counted of recurring work: how late it was, what was left out, what failed."""

import io
from typing import Any, cast

import pytest

from bench import Bench
from hourly import HOUR, MINUTE, NOON, go_to, look, put
from job_runners import clock
from job_runners.engine.registry.registry import registry
from job_runners.engine.schedules.recurring import Outcome
from telemetry_lines import emitted, logged

pytestmark = pytest.mark.usefixtures("at_noon", "on_lambda", "lines")


def test_one_that_is_started_is_counted_by_how_late_it_was_alone(
    bench: Bench, lines: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    put()
    go_to(NOON + 700)
    assert look(bench) == {Outcome.STARTED: 1}
    assert list(emitted(capsys)) == [("sample_once", {"OccurrenceLate": 700})]
    (line,) = [each for each in logged(lines) if each["message"] == "occurrence started"]
    assert (line["schedule"], line["organization_id"]) == ("hourly", "acme")
    assert line["occurrence"] == clock.iso(NOON)


def test_those_before_it_that_were_left_out_or_failed_are_counted_with_it(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    put()
    jobs = cast(dict[str, Any], registry().jobs)
    job = jobs.pop("sample_once")
    go_to(NOON)
    assert look(bench) == {Outcome.REFUSED: 1}
    jobs["sample_once"] = job
    go_to(NOON + 3 * HOUR)
    assert look(bench) == {Outcome.STARTED: 1}
    assert list(emitted(capsys)) == [
        ("sample_once", {"OccurrenceLate": 0}),
        ("sample_once", {"OccurrencesSkipped": 2}),
        ("sample_once", {"OccurrencesFailed": 1}),
    ]


def test_one_that_is_refused_is_an_error_and_counted_once_it_is_given_up(
    bench: Bench, lines: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    put(every=86_400)
    cast(dict[str, Any], registry().jobs).pop("sample_once")
    midnight = NOON + 12 * HOUR
    said = []
    for minute in (0, 70):
        go_to(midnight + minute * MINUTE)
        look(bench)
        line = logged(lines)[-1]
        assert (line["schedule"], line["organization_id"]) == ("hourly", "acme")
        assert line["occurrence"] == clock.iso(midnight)
        said.append((line["level"], line["message"], list(emitted(capsys))))
    assert said == [
        ("WARNING", "occurrence refused, will retry", []),
        ("ERROR", "occurrence given up", [("sample_once", {"OccurrencesFailed": 1})]),
    ]
