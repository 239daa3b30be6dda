"""Check the TLA+ models in model/, and that each of their safeguards is needed: `make model`.

model/runs.toml lists the runs of the model checker TLC. A run of an unchanged module must find no
violation. A twin is a module without one safeguard: its run must find that a promise is broken.
"""

import argparse
import sys
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tools import tlc

LEVELS = ("test", "model", "chaos")  # each level includes the runs of the level before it
_PARALLEL = 2  # small runs at a time
_TIMEOUTS = {"test": 200.0, "model": 600.0, "chaos": 3600.0}  # seconds for one run


@dataclass(frozen=True)
class Run:
    """One call of TLC. `expected` is the promise that has to break, or None."""

    module: str
    name: str
    level: str
    config: tlc.Config
    expected: str | None = None


@dataclass(frozen=True)
class Result:
    """The result of a run."""

    run: Run
    states: int
    seconds: float
    problem: str | None = None  # None if the run had the expected outcome


def main() -> int:
    """Run the checks. Return 0 if every run came out as expected."""
    parser = argparse.ArgumentParser(prog="python -m tools.model", description=__doc__)
    parser.add_argument("--level", choices=LEVELS, default="model")
    parser.add_argument("--only", default="", help="only runs whose module or name contains this")
    options = parser.parse_args()
    if message := tlc.missing():
        print(message, file=sys.stderr)
        return 1
    results = []
    started_at = time.monotonic()
    for result in execute(list(runs(options.level, options.only))):
        print(describe(result), flush=True)
        results.append(result)
    print(summary(results, time.monotonic() - started_at))
    return 1 if any(result.problem for result in results) or not results else 0


def runs(level: str, only: str = "") -> Iterator[Run]:
    """Yield the runs of a level whose module or name contains `only`."""
    listed = tomllib.loads((tlc.MODEL / "runs.toml").read_text())
    levels = LEVELS[: LEVELS.index(level) + 1]
    for module, settings in listed.items():
        for run in (*_bounds(module, settings), *_twins(module, settings)):
            if run.level in levels and (only in run.module or only in run.name):
                yield run


def _bounds(module: str, settings: dict[str, Any]) -> Iterator[Run]:
    """Yield the runs of the unchanged module, each with `constants` that bound its size."""
    for bound in settings["bounds"]:
        config = _config(settings, {"Broken": '"none"'} | bound["constants"], bound)
        yield Run(module, bound["name"], bound["level"], config)


def _twins(module: str, settings: dict[str, Any]) -> Iterator[Run]:
    """Yield the runs of the module without one of its safeguards."""
    for twin in settings["twins"]:
        constants = {"Broken": f'"{twin["without"]}"'} | twin.get("constants", {})
        config = _config(settings, constants, twin)
        level = twin.get("level", "test")
        yield Run(module, f"without {twin['without']}", level, config, twin["breaks"])


def _config(settings: dict[str, Any], constants: dict[str, Any], run: dict[str, Any]) -> tlc.Config:
    merged = settings["constants"] | constants
    live = run.get("live", False)
    return tlc.Config(
        specification="Live" if live else "Spec",
        constants={name: str(value) for name, value in merged.items()},
        invariants=settings["invariants"],
        properties=[*settings["properties"], *(settings["liveness"] if live else ())],
        # With symmetry or a view, TLC could miss violations of liveness.
        symmetry=None if live else settings.get("symmetry"),
        view=None if live else settings.get("view"),
    )


def execute(selected: list[Run]) -> Iterator[Result]:
    """Run the small runs two at a time, then the large ones. Yield the results in that order."""
    small = [run for run in selected if run.level != "chaos"]
    with ThreadPoolExecutor(_PARALLEL) as pool:
        yield from pool.map(_check, small)
    yield from map(_check, (run for run in selected if run.level == "chaos"))


def _check(run: Run) -> Result:
    started_at = time.monotonic()
    large = run.level == "chaos"
    try:
        outcome = tlc.check(
            tlc.MODEL / f"{run.module}.tla", run.config, seconds=_TIMEOUTS[run.level], large=large
        )
    except tlc.TlcFailed as error:
        return Result(run, 0, time.monotonic() - started_at, f"TLC could not check it: {error}")
    return Result(run, outcome.states, time.monotonic() - started_at, _problem(run, outcome))


def _problem(run: Run, outcome: tlc.Outcome) -> str | None:
    if outcome.violated == run.expected:
        return None
    if outcome.violated is None:
        return f"the safeguard isn't needed: {run.expected} still holds without it"
    expected = f", not {run.expected}" if run.expected else ""
    return f"{outcome.violated} is broken{expected}:\n{outcome.counterexample}"


def describe(result: Result) -> str:
    """Describe a run in one line, or in more if it failed."""
    run = result.run
    if result.problem:
        return f"WRONG  {run.module}, {run.name}: {result.problem}"
    result_text = f"breaks {run.expected}" if run.expected else "holds"
    figures = f"{result.states:,} states, {result.seconds:.0f} s"
    return f"{run.module}, {run.name}: {result_text} ({figures})"


def summary(results: list[Result], seconds: float) -> str:
    """Summarize the results in a sentence."""
    twins = [result for result in results if result.run.expected]
    caught = sum(not result.problem for result in twins)
    unchanged = [result for result in results if not result.run.expected]
    held = sum(not result.problem for result in unchanged)
    states = sum(result.states for result in unchanged)
    return (
        f"model: {held} of {len(unchanged)} runs of unchanged modules hold ({states:,} states), "
        f"{caught} of {len(twins)} twins are caught, in {seconds:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
