"""`python -m tools.mutants`: apply every mutation, one at a time, and report which test noticed.

The run fails if a mutation survives, or if a list no longer fits the code.
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

from job_runners.places import CODE
from tools.mutants.collected import ENGINE, Collected, Executed, Recorded
from tools.mutants.generated import generate
from tools.mutants.mutation import DoesNotApply, Mutation, replace_text
from tools.mutants.noticing import Noticing, read_last, write_last
from tools.mutants.sandbox import Sandbox, Work

HERE = Path(__file__).parent
_LAST = CODE / ".build" / "mutants.json"  # which test noticed each mutation in the last run

_BASELINE_SECONDS = 900.0  # seconds for the tests of one file, unchanged
# Under a mutation, a test counts as hung after these seconds plus this multiple of the time that it
# takes without a mutation.
_TEST_SECONDS = 10.0
_TEST_TIMES = 20
_OVERHEAD_SECONDS = 20.0  # seconds that a process may take before and after its tests


def main() -> int:
    """Run the mutations. Return 0 if each was noticed or is accepted, and every list fits."""
    options = _options()
    started = time.monotonic()
    lists = tomllib.loads((HERE / "tests.toml").read_text())
    try:
        mutations = _mutations(options.only)
        accepted = _accepted(mutations, whole=not options.only)
        files = options.tests or _test_files(lists["not_run"], lists["also"])
    except DoesNotApply as error:
        print(f"The lists don't fit the code: {error}", file=sys.stderr)
        return 1
    to_try = [each for each in mutations if each.name not in accepted]
    if options.list:
        print("\n".join(f"{each.place} {each.name}" for each in to_try))
        return 0
    if not hasattr(sys, "monitoring"):
        sys.exit("Recording which test executes which line requires Python 3.12 or newer.")
    with Sandbox(CODE, options.jobs, files) as sandbox:
        noticing = Noticing(lists["also"], read_last(_LAST))
        noticing.tests = _baseline(sandbox, files)
        print(
            f"{len(noticing.tests):,} tests recorded in {time.monotonic() - started:.0f} s",
            flush=True,
        )
        try:
            noticed, survivors = _try_all(sandbox, to_try, noticing, verbose=options.verbose)
        finally:
            write_last(_LAST, noticing.last)
    _report(len(mutations), len(accepted), noticed, survivors, time.monotonic() - started)
    return 1 if survivors else 0


def _try_all(
    sandbox: Sandbox, mutations: list[Mutation], noticing: Noticing, *, verbose: bool
) -> tuple[Counter[str], list[str]]:
    """Return the number of mutations that each file of tests noticed, and the survivors."""
    noticed: Counter[str] = Counter()
    survivors: list[str] = []
    for outcome in sandbox.do_all(_work(each, noticing) for each in mutations):
        mutation = mutations[outcome.index]
        if outcome.why_not:
            raise DoesNotApply(outcome.why_not)
        ended = "hung for" if outcome.hung else "died after"
        by = outcome.result["by"] if outcome.result else f"{ended} {outcome.seconds:.0f} s"
        if by is None:
            survivors.append(f"{mutation.place} {mutation.name}")
        else:
            noticed[by.partition(" ")[0].partition("::")[0]] += 1
            noticing.remember(mutation, by)
        if verbose or by is None:
            took = f"{outcome.seconds:.1f} s"
            print(f"{took} | {by or 'SURVIVED'} | {mutation.place} {mutation.name}", flush=True)
    return noticed, survivors


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument("--only", action="append", help="only mutations with this in their name")
    parser.add_argument("--tests", action="append", help="run only these test files")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="list the mutations, and stop")
    parser.add_argument("--verbose", action="store_true", help="show which test noticed each")
    return parser.parse_args()


def _mutations(only: list[str] | None) -> list[Mutation]:
    """Return the listed mutations, which must all apply, and the generated ones."""
    listed = tomllib.loads((HERE / "listed.toml").read_text())["mutation"]
    mutations = [
        replace_text(
            CODE,
            each["file"],
            find=each["find"],
            replace=each["replace"],
            function="(listed)",
            what=each["why"],
        )
        for each in listed
    ]
    for folder in ENGINE:
        for path in sorted((CODE / folder).rglob("*.py")):
            mutations += generate(CODE, str(path.relative_to(CODE)))
    return [each for each in mutations if not only or any(part in each.name for part in only)]


def _accepted(mutations: list[Mutation], *, whole: bool) -> set[str]:
    """Return the names of accepted mutations. Raises DoesNotApply for a name without a mutation."""
    entries: list[dict[str, Any]] = tomllib.loads((HERE / "accepted.toml").read_text())["accepted"]
    accepted = {f"{each['in']}: {what}" for each in entries for what in each["mutations"]}
    unknown = accepted - {each.name for each in mutations}
    if whole and unknown:
        raise DoesNotApply(
            "accepted.toml lists mutations that don't exist: " + "; ".join(sorted(unknown))
        )
    return accepted - unknown


def _test_files(not_run: list[str], also: dict[str, list[str]]) -> list[str]:
    """Return the test files to run. Raises DoesNotApply for a pattern that matches no test file."""
    found = {pattern: [*CODE.glob(pattern)] for pattern in not_run}
    found |= {name: [*CODE.glob(f"{name}*.py")] for names in also.values() for name in names}
    if unfit := [pattern for pattern, paths in found.items() if not paths]:
        raise DoesNotApply("tests.toml names no test: " + "; ".join(unfit))
    left_out = {path for pattern in not_run for path in found[pattern]}
    return [
        str(path.relative_to(CODE))
        for path in sorted(CODE.glob("tests/**/test_*.py"))
        if path not in left_out
    ]


def _baseline(sandbox: Sandbox, files: list[str]) -> dict[str, Executed]:
    """Return every test with the engine's lines that it executes.

    If a test fails without a mutation, exit.
    """
    found: dict[str, Executed] = {}
    work = (Work(partial(_record, file), _BASELINE_SECONDS) for file in files)
    for outcome in sandbox.do_all(work):
        result = outcome.result or {"failed": "it did not end", "tests": {}}
        if result["failed"]:
            sys.exit(f"{files[outcome.index]} fails without a mutation: {result['failed']}")
        found |= result["tests"]
    return found


def _record(file: str, tests: Collected) -> Recorded:
    return tests.record(file)


def _work(mutation: Mutation, noticing: Noticing) -> Work:
    """Return the work for a mutation: run the tests that execute its lines."""
    tests = noticing.tests_for(mutation)
    limits = {name: _TEST_SECONDS + _TEST_TIMES * seconds for name, seconds in tests.items()}
    seconds = _OVERHEAD_SECONDS + 10 * sum(tests.values())
    return Work(partial(_try, limits), seconds, mutation)


def _try(limits: dict[str, float], tests: Collected) -> dict[str, Any]:
    return {"by": tests.first_failure(limits)}


def _report(
    total: int, accepted: int, noticed: Counter[str], survivors: list[str], seconds: float
) -> None:
    hung_or_died = noticed["hung"] + noticed["died"]
    print(
        f"{total - accepted:,} mutations tried in {seconds / 60:.0f} min: "
        f"{noticed.total() - hung_or_died:,} noticed by a test, {hung_or_died:,} hung or died; "
        f"{len(survivors):,} survived; {accepted:,} more accepted"
    )
    for name, count in noticed.most_common():
        print(f"  {count:5} {name}")
    for survivor in survivors:
        print(f"SURVIVED {survivor}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
