"""`python -m testing.mutants`: applies every mutation, one at a time, and says who noticed.

A mutation that nobody notices fails the run, and so does a list that no longer fits the code.
"""

import argparse
import os
import sys
import time
import tomllib
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from testing.mutants.generated import generate
from testing.mutants.histories_run import noticed_by_history
from testing.mutants.mutation import DoesNotApply, Mutation, replaced
from testing.mutants.sandbox import Sandbox, Work
from testing.mutants.tests_run import Executed, executed_by, noticed_by

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
ENGINE = ("store", "runners", "work", "handlers")

_BASELINE_SECONDS = 900.0  # for the tests of one file, unchanged
# For one test under a mutation, beside many times what it takes: one that takes longer hangs.
_TEST_SECONDS = 10.0
_TEST_TIMES = 20
_STARTED_IN = 60.0  # seconds that a process may take before and after its tests
_HISTORY_SECONDS = 0.5  # for each history, on a machine that does much else


def main() -> int:
    """Run; returns 0 if every mutation was noticed, or is accepted, and every list fits."""
    options = _options()
    if not hasattr(sys, "monitoring"):
        sys.exit("To know which test executes which line takes Python 3.12 or newer")
    started = time.monotonic()
    lists = tomllib.loads((HERE / "tests.toml").read_text())
    try:
        mutations = _mutations(options.only)
        accepted = _accepted(mutations, whole=not options.only)
        files = options.tests or _test_files(lists["not_run"], lists["also"])
    except DoesNotApply as error:
        print(f"The lists do not fit the code: {error}", file=sys.stderr)
        return 1
    to_try = [each for each in mutations if each.name not in accepted]
    if options.list:
        print("\n".join(f"{each.place} {each.name}" for each in to_try))
        return 0
    with Sandbox(ROOT, options.jobs) as sandbox:
        tests: dict[str, Executed] = {}
        if not options.histories_only:
            tests = _baseline(sandbox, files)
            print(
                f"{len(tests):,} tests recorded in {time.monotonic() - started:.0f} s", flush=True
            )
        work = [_work(each, tests, lists["also"], options.histories) for each in to_try]
        noticed, survivors = _try_all(sandbox, to_try, work, verbose=options.verbose)
    _report(len(mutations), len(accepted), noticed, survivors, time.monotonic() - started)
    return 1 if survivors else 0


def _try_all(
    sandbox: Sandbox, mutations: list[Mutation], work: list[tuple[Work, float]], *, verbose: bool
) -> tuple[Counter[str], list[str]]:
    """Who noticed how many, and what nobody did."""
    noticed: Counter[str] = Counter()
    survivors: list[str] = []
    for outcome in sandbox.do_all(work):
        mutation = mutations[outcome.index]
        ended = "hung for" if outcome.hung else "died after"
        by = outcome.result["by"] if outcome.result else f"{ended} {outcome.seconds:.0f} s"
        if by is None:
            survivors.append(f"{mutation.place} {mutation.name}")
        else:
            noticed[by.partition(" ")[0].partition("::")[0]] += 1
        if verbose or by is None:
            took = f"{outcome.seconds:.1f} s"
            print(f"{took} | {by or 'SURVIVED'} | {mutation.place} {mutation.name}", flush=True)
    return noticed, survivors


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m testing.mutants", description=__doc__)
    parser.add_argument("--only", action="append", help="mutations whose name has this in it")
    parser.add_argument("--tests", action="append", help="run these test files alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--histories", type=int, default=500, help="for what no test notices")
    parser.add_argument("--histories-only", action="store_true", help="leave the tests out")
    parser.add_argument("--list", action="store_true", help="say what would be tried")
    parser.add_argument("--verbose", action="store_true", help="say of each who noticed")
    return parser.parse_args()


def _mutations(only: list[str] | None) -> list[Mutation]:
    """Return the listed ones, which must all apply, and the generated."""
    listed = tomllib.loads((HERE / "listed.toml").read_text())["mutation"]
    mutations = [
        replaced(
            ROOT,
            each["file"],
            find=each["find"],
            replace=each["replace"],
            function="(listed)",
            what=each["why"],
        )
        for each in listed
    ]
    for folder in ENGINE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            mutations += generate(ROOT, str(path.relative_to(ROOT)))
    return [each for each in mutations if not only or any(part in each.name for part in only)]


def _accepted(mutations: list[Mutation], *, whole: bool) -> set[str]:
    """Return the names of those that nothing needs to notice. Raises DoesNotApply for one there is
    not."""
    entries: list[dict[str, Any]] = tomllib.loads((HERE / "accepted.toml").read_text())["accepted"]
    accepted = {f"{each['in']}: {what}" for each in entries for what in each["mutations"]}
    unknown = accepted - {each.name for each in mutations}
    if whole and unknown:
        raise DoesNotApply("accepted, but not there: " + "; ".join(sorted(unknown)))
    return accepted - unknown


def _test_files(not_run: list[str], also: dict[str, list[str]]) -> list[str]:
    """Return the test files to run. Raises DoesNotApply for a pattern that no test file fits."""
    found = {pattern: [*ROOT.glob(pattern)] for pattern in not_run}
    found |= {name: [*ROOT.glob(f"{name}*.py")] for names in also.values() for name in names}
    if unfit := [pattern for pattern, paths in found.items() if not paths]:
        raise DoesNotApply("tests.toml names no test: " + "; ".join(unfit))
    left_out = {path for pattern in not_run for path in found[pattern]}
    return [
        str(path.relative_to(ROOT))
        for path in sorted(ROOT.glob("tests/**/test_*.py"))
        if path not in left_out
    ]


def _baseline(sandbox: Sandbox, files: list[str]) -> dict[str, Executed]:
    """Every test, with what it executes of the engine. Ends the run if one fails unchanged."""
    found: dict[str, Executed] = {}
    work: list[tuple[Work, float]] = [
        (partial(executed_by, [file], ENGINE), _BASELINE_SECONDS) for file in files
    ]
    for outcome in sandbox.do_all(work):
        result = outcome.result or {"failed": "it did not end", "tests": {}}
        if result["failed"]:
            sys.exit(f"{files[outcome.index]} fails with nothing changed: {result['failed']}")
        found |= result["tests"]
    return found


def _work(
    mutation: Mutation,
    tests: dict[str, Executed],
    also: dict[str, list[str]],
    histories: int,
) -> tuple[Work, float]:
    """Return what is done about a mutation: the tests that come by, the quickest first; then
    histories."""
    first, last = mutation.lines
    changed = set(range(first, last + 1))
    coming_by = [
        name
        for name, executed in tests.items()
        if changed & set(executed["lines"].get(mutation.file, ()))
        or name.startswith(tuple(also.get(mutation.file, ())))
    ]
    coming_by.sort(key=lambda name: tests[name]["seconds"])
    limits = {name: _TEST_SECONDS + _TEST_TIMES * tests[name]["seconds"] for name in coming_by}
    seconds = (
        _STARTED_IN
        + 10 * sum(tests[name]["seconds"] for name in coming_by)
        + _HISTORY_SECONDS * histories
    )
    return partial(_try, mutation, limits, histories), seconds


def _try(mutation: Mutation, tests: dict[str, float], histories: int, copy: Path) -> dict[str, Any]:
    original = (copy / mutation.file).read_text()
    try:
        by = noticed_by(mutation, tests, copy)
        return {"by": by or noticed_by_history(histories)}
    finally:
        (copy / mutation.file).write_text(original)


def _report(
    every: int, accepted: int, noticed: Counter[str], survivors: list[str], seconds: float
) -> None:
    by_histories = noticed["history"]
    no_end = noticed["hung"] + noticed["died"]
    by_tests = noticed.total() - by_histories - no_end
    print(
        f"{every - accepted:,} mutations tried in {seconds / 60:.0f} min: {by_tests:,} noticed by "
        f"a test, {by_histories:,} by a history alone, {no_end:,} hung or died; "
        f"{len(survivors):,} survived; {accepted:,} more accepted"
    )
    for name, count in noticed.most_common():
        print(f"  {count:5} {name}")
    for survivor in survivors:
        print(f"SURVIVED {survivor}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
