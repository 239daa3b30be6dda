"""The page that make bench writes: what was measured, and what is above a bound."""

import re
from dataclasses import replace

import pytest

from benchmarks.cold_start import AT_MOST
from benchmarks.fresh_process import Cost
from benchmarks.overheads import Measured, Overhead
from benchmarks.report import Report, written
from benchmarks.units import Unit
from job_runners.building.build import ROOT

_OVERHEAD = Overhead("a dispatch", Unit("ours.job"), "bare boto3", Unit("bare.job"), at_most=1.1)
_REPORT = Report(
    functions={"API": Cost(0.2, 1.0, None), "worker": Cost(0.1, 0.8, 0.7)},
    on_other_pythons={"3.11": dict.fromkeys(AT_MOST, Cost(0.1, 0.7, 0.75))},
    overheads=[Measured(_OVERHEAD, [1.05], [1.0], 1.02)],
)


def test_the_page_has_what_was_measured() -> None:
    page = written(_REPORT)
    for line in (
        "| timer | 0.70, 0.75 |",
        "| a dispatch | bare boto3 | 1.05 | 1.02 | 1.10 |",
        "Every bound was met in this run.",
    ):
        assert line in page
    assert "$" not in page


def test_what_is_above_its_bound_is_told() -> None:
    slow = replace(
        _REPORT,
        overheads=[Measured(_OVERHEAD, ours=[1.2], peer=[1.0])],
        functions={"API": Cost(0.2, 1.5, None), "worker": Cost(0.2, 1.5, 0.8)},
        on_other_pythons={"3.11": {"timer": Cost(0.2, 0.9, 0.88)}},
    )
    assert not _REPORT.above
    assert slow.above == [
        "a dispatch: 1.20 (bound 1.10)",
        f"cold start, API: 1.50 (bound {AT_MOST['API']:.2f})",
        f"Python 3.11, cold start, timer: 0.90 (bound {AT_MOST['timer']:.2f})",
    ]
    assert "Every bound was met" not in written(slow)


def test_the_page_in_docs_is_one_that_a_run_has_written() -> None:
    page = (ROOT / "docs/contributing/benchmarks.md").read_text()
    assert [title for title in _headings(written(_REPORT)) if title not in _headings(page)] == []


def _headings(page: str) -> list[str]:
    return re.findall(r"^#+ .*$", page, re.MULTILINE)


@pytest.mark.parametrize(
    ("cpu", "instructions", "above"),
    [(1.2, None, True), (1.2, 1.15, True), (1.2, 1.05, False), (1.05, 1.2, False)],
)
def test_a_bound_is_exceeded_if_instructions_say_so_too(
    cpu: float, instructions: float | None, above: bool
) -> None:
    assert Measured(_OVERHEAD, [cpu], [1.0], instructions).is_above is above


def test_a_ratio_is_that_of_most_rounds_whatever_the_machine_did_in_one() -> None:
    quick_once = Measured(_OVERHEAD, ours=[1.1, 2.2, 1.1], peer=[1.0, 2.0, 0.5])
    assert quick_once.ratio == pytest.approx(1.1)


def test_what_meets_its_bound_in_instructions_alone_is_told() -> None:
    page = written(
        replace(
            _REPORT,
            overheads=[Measured(_OVERHEAD, [1.2], [1.0], 1.05)],
            functions={"API": Cost(0.2, 1.3, 1.0)},
        )
    )
    assert "Every bound was met in this run, but these met theirs only in" in page
    assert "- a dispatch: 1.20 (bound 1.10)\n" in page
    assert f"- cold start, API: 1.30 (bound {AT_MOST['API']:.2f})\n" in page
