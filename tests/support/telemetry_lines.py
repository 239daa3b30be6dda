"""Log lines and metric lines, as CloudWatch would get them."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from bench import Bench
from job_runners.testing.aws import forget

SECRET = "c0rrect-horse"
_TIMES = {"OccurrenceLate", "OldestInLine", "OldestWait", "QueueWait", "RunTime", "TimerLag"}


@pytest.fixture
def on_lambda(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "worker")
    forget()


def logged(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def emitted(capsys: pytest.CaptureFixture[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the metrics printed since the last look: (dimension's value, name to value)."""
    for line in capsys.readouterr().out.splitlines():
        found = json.loads(line)
        if "_aws" not in found:
            continue
        (directive,) = found["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "JobRunners"
        (dimensions,) = directive["Dimensions"]
        assert len(dimensions) <= 2
        names = [metric["Name"] for metric in directive["Metrics"]]
        for metric in directive["Metrics"]:
            unit = "Milliseconds" if metric["Name"] in _TIMES else "Count"
            assert metric["Unit"] == unit, metric
        whose = next((found[name] for name in dimensions if name != "service"), "")
        yield whose, {name: found[name][0] for name in names}


def emitted_series(capsys: pytest.CaptureFixture[str]) -> set[tuple[frozenset[str], str]]:
    """Return the metrics printed since the last look, each with the names of its dimensions."""
    found = set()
    for line in capsys.readouterr().out.splitlines():
        for directive in json.loads(line).get("_aws", {}).get("CloudWatchMetrics", []):
            (dimensions,) = directive["Dimensions"]
            found |= {(frozenset(dimensions), each["Name"]) for each in directive["Metrics"]}
    return found
