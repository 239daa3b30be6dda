"""Write the page about a run of the benchmarks."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from string import Template

from benchmarks import cold_start
from benchmarks.cold_start import AT_MOST
from benchmarks.fresh_process import Cost
from benchmarks.overheads import Measured


@dataclass
class Report:
    """The results of a run."""

    functions: Mapping[str, Cost]
    on_other_pythons: Mapping[str, Mapping[str, Cost]]  # by version
    overheads: Sequence[Measured]

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
        machine=_processors(),
        system=f"{platform.system()} {platform.release()}",
        boto3=version("boto3"),
        bounds=_bounds(report),
        functions=_functions(report),
        on_other_pythons=_on_other_pythons(report),
        overheads=_overheads(report),
    )


def _processors() -> str:
    """Describe this machine's processors: their number and model."""
    model = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = (line for line in info.read_text().splitlines() if line.startswith("model name"))
        model = next(lines, "").partition(":")[2].strip()
    return f"{os.cpu_count()} processors{f' ({model})' if model else ''}"


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


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in lines)
