"""Write the page about a run of the benchmarks."""

import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from string import Template

from benchmarks import cold_start
from benchmarks.cold_start import AT_MOST
from benchmarks.fresh_process import BOTO3, Cost
from benchmarks.kills import Aftermath
from benchmarks.overheads import Measured
from benchmarks.peer_costs import PUT_AND_INVOKE, processors
from benchmarks.requests_made import Requests
from benchmarks.start_latency import Latency
from job_runners.places import CODE


@dataclass
class Report:
    """The results of a run, and the parts that could not be measured."""

    versions: dict[str, str] = field(default_factory=dict)
    functions: Mapping[str, Cost] = field(default_factory=dict)
    on_other_pythons: dict[str, Mapping[str, Cost]] = field(default_factory=dict)  # by version
    overheads: Sequence[Measured] = ()
    dispatches: Mapping[str, float] = field(default_factory=dict)
    cold_starts: Mapping[str, Cost] = field(default_factory=dict)
    latencies: Sequence[Latency] = ()
    requests: dict[str, Requests] = field(default_factory=dict)
    aftermaths: list[Aftermath] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)  # our own parts that could not be measured

    @property
    def above(self) -> list[str]:
        """A line for each measurement that exceeds its bound."""
        lines = [each.summary for each in self.overheads if each.is_above]
        lines += cold_start.above(self.functions)
        for python, costs in self.on_other_pythons.items():
            lines += [f"Python {python}, {line}" for line in cold_start.above(costs)]
        return lines


def written(report: Report) -> str:
    """Return the page: the text of benchmarks/page.md with the results filled in."""
    page = Template((Path(__file__).parent / "page.md").read_text())
    return page.substitute(
        day=f"{datetime.now(UTC):%-d %B %Y}",
        python=platform.python_version(),
        machine=processors(),
        system=f"{platform.system()} {platform.release()}",
        versions=_versions(report),
        bounds=_bounds(report),
        functions=_functions(report),
        on_other_pythons=_on_other_pythons(report),
        overheads=_overheads(report),
        dispatches=_dispatches(report),
        cold_starts=_cold_starts(report),
        latencies=_latencies(report),
        requests=_requests(report),
        kills=_kills(report),
        missing=_missing(report),
    )


def _versions(report: Report) -> str:
    locked = (CODE / "requirements" / "aws.txt").read_text()
    emulator = re.findall(r"^ministack==(\S+)", locked, re.MULTILINE)
    ours = f"boto3 {version('boto3')}, ministack {' '.join(emulator)}"
    return _table(
        ("peer", "versions"), [("bare boto3; the local AWS", ours), *report.versions.items()]
    )


def _bounds(report: Report) -> str:
    if report.above:
        return "**These exceeded their bounds in this run:**\n\n" + _list(report.above)
    met = "Every bound was met in this run"
    in_cpu = [each.summary for each in report.overheads if each.is_above_in_cpu]
    in_cpu += cold_start.above(report.functions, in_cpu=True)
    if not in_cpu:
        return f"{met}."
    return f"{met}, but these met theirs only in instructions, not in CPU:\n\n{_list(in_cpu)}"


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _functions(report: Report) -> str:
    rows = [
        (
            name,
            f"{cost.cpu_share:.2f}",
            "" if cost.instructions_share is None else f"{cost.instructions_share:.2f}",
            f"{AT_MOST[name]:.2f}" if name in AT_MOST else "",
        )
        for name, cost in report.functions.items()
    ]
    return _table(("until it is ready for its first event", "CPU", "instructions", "bound"), rows)


def _on_other_pythons(report: Report) -> str:
    if not report.on_other_pythons:
        return "No other Python version that Lambda supports was installed."
    rows = [
        (name, *(_shares(costs.get(name)) for costs in report.on_other_pythons.values()))
        for name in AT_MOST
    ]
    head = [f"Python {python}: CPU, instructions" for python in report.on_other_pythons]
    return _table(("until it is ready for its first event", *head), rows)


def _shares(cost: Cost | None) -> str:
    if cost is None:
        return ""
    share = cost.instructions_share
    return f"{cost.cpu_share:.2f}" + ("" if share is None else f", {share:.2f}")


def _overheads(report: Report) -> str:
    rows = [
        (
            each.overhead.title,
            each.overhead.peer_title,
            f"{each.ratio:.2f}",
            "" if each.instructions_ratio is None else f"{each.instructions_ratio:.2f}",
            f"{each.overhead.at_most:.2f}" if each.overhead.at_most else "",
        )
        for each in report.overheads
    ]
    return _table(("ours", "compared with", "CPU", "instructions", "bound"), rows)


def _dispatches(report: Report) -> str:
    base = report.dispatches.get(PUT_AND_INVOKE, float("nan"))
    rows = [
        (name, f"{seconds / base:.2f}", f"{seconds * 1e6:.0f} µs")
        for name, seconds in sorted(report.dispatches.items(), key=lambda each: each[1])
    ]
    return _table(("dispatch with", "CPU", "time"), rows)


def _cold_starts(report: Report) -> str:
    rows = [
        (name, f"{cost.cpu_share:.2f}", f"{cost.cpu * 1000:.0f} ms")
        for name, cost in sorted(report.cold_starts.items(), key=lambda each: each[1].cpu)
        if name != BOTO3
    ]
    return _table(("process until its first dispatch or request is answered", "CPU", "time"), rows)


def _latencies(report: Report) -> str:
    rows = [
        (
            each.title,
            str(len(each.seconds)),
            f"{each.percentile(50) * 1000:.1f} ms",
            f"{each.percentile(99) * 1000:.1f} ms",
        )
        for each in report.latencies
    ]
    return _table(("from the dispatch to the first line of", "runs", "p50", "p99"), rows)


def _requests(report: Report) -> str:
    rows = [
        (
            name,
            f"{sum(requests.values()):.1f}",
            _listed(requests),
        )
        for name, requests in report.requests.items()
    ]
    return _table(("unit of work with", "requests", "operations"), rows)


def _listed(made: Requests) -> str:
    return ", ".join(f"{name} {count:g}" for name, count in made.items())


def _kills(report: Report) -> str:
    rows = [
        (each.title, str(each.starts), each.status, f"**{each.verdict}**")
        for each in report.aftermaths
    ]
    return _table(("killed work of", "starts", "final status", "result"), rows)


def _missing(report: Report) -> str:
    lines = [f"- {what}: {why}." for what, why in report.missing.items()]
    return "\n".join(lines or ["None: all parts ran."])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)
