"""What Job Runners adds to the calls of AWS that it makes: `python -m benchmarks.overheads`.

CPU for each unit of work, beside a peer that does the same without us: bare boto3 that makes the
very same calls, and FastAPI with Mangum on a route like ours. AWS is a server on the loopback that
answers at once, so that what is compared is code. Compare the ratios: the times are this machine's.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.bounds import exceeds
from benchmarks.loopback_aws import LoopbackAws, loopback_aws
from benchmarks.peers import FASTAPI, NotInstalled
from benchmarks.recording import read, recorded
from benchmarks.units import Unit, UnitFailed, cpu_in_turns, ours


@dataclass(frozen=True)
class Overhead:
    """A unit of ours, and the peer that it is a share of."""

    title: str
    unit: Unit
    peer_title: str
    peer: Unit
    at_most: float | None = None  # a bound, or a figure that is shown and bounds nothing


@dataclass(frozen=True)
class Measured:
    """What an overhead came to, in seconds of CPU in each round."""

    overhead: Overhead
    ours: Sequence[float]
    peer: Sequence[float]
    instructions_ratio: float | None = None  # where they were counted

    @property
    def ratio(self) -> float:
        """Ours as a share of the peer's: the median of the rounds. A machine's speed changes, and
        of two least figures one may come from a moment that the other had no part in."""
        return median(ours / peer for ours, peer in zip(self.ours, self.peer, strict=True))

    @property
    def is_above(self) -> bool:
        """Whether it is above its bound."""
        bound = self.overhead.at_most
        return bound is not None and exceeds(bound, self.ratio, self.instructions_ratio)

    @property
    def is_above_in_cpu(self) -> bool:
        """Whether its CPU is above its bound, whatever the instructions are."""
        bound = self.overhead.at_most
        return bound is not None and self.ratio > bound

    @property
    def told(self) -> str:
        """What came out, in CPU, and the bound."""
        return (
            f"{self.overhead.title}: {self.ratio:.2f}, and {self.overhead.at_most:.2f} is the most"
        )


@contextmanager
def recorded_aws() -> Iterator[tuple[LoopbackAws, str]]:
    """Yield a server that answers as recorded, and the file of the recording."""
    with tempfile.TemporaryDirectory() as folder:
        recording = recorded(Path(folder))
        with loopback_aws(read(recording)) as aws:
            yield aws, str(recording)


def overheads(recording: str) -> list[Overhead]:
    """Return what is measured. A job's log lines are left out, but where the title names them."""
    calls = "put_item and invoke, the same calls with bare boto3"
    job, task = ours("job", recording), ours("task", recording)
    bare = {name: Unit(f"bare.{name}", (recording,)) for name in _BARE}
    routing = ours("route", JOB_RUNNER="peer_work.accepting_runner")
    return [
        Overhead("dispatch of a job", job, calls, bare["job"], at_most=1.10),
        Overhead(
            "the same",
            job,
            "the same calls, of a row of four attributes that no index finds",
            bare["job_of_few_attributes"],
        ),
        Overhead(
            "the same, with its log line",
            ours("job", recording, POWERTOOLS_LOG_LEVEL="INFO"),
            calls,
            bare["job"],
        ),
        Overhead("dispatch of a task", task, "invoke with bare boto3", bare["task"]),
        Overhead(
            "the worker's own work: claim, payload, call, outcome",
            ours("work", recording),
            "two update_items, the same calls with bare boto3",
            bare["two_updates"],
            at_most=1.15,
        ),
        Overhead(
            "a request through the API that calls no AWS",
            routing,
            FASTAPI.title,
            FASTAPI.unit("fastapi_program.route"),
            at_most=1.00,
        ),
    ]


_BARE = ("job", "job_of_few_attributes", "task", "two_updates")


def measure(
    rounds: int, size: int, *, peers: bool = True, instructions: bool = True
) -> list[Measured]:
    """Measure each, and print a table; without `peers`, only what bare boto3 is beside.

    Raises NotInstalled.
    """
    if peers:
        FASTAPI.install()
    with recorded_aws() as (aws, recording):
        asked = overheads(recording)
        if not peers:
            asked = [each for each in asked if each.peer_title != FASTAPI.title]
        for overhead in asked:
            _check_calls(overhead, aws)
        units = {repr(unit): unit for each in asked for unit in (each.unit, each.peer)}
        cpu = cpu_in_turns(units, rounds, size, aws.endpoint_url)
        bounded = [each for each in asked if instructions and each.at_most is not None]
        counting = [unit for each in bounded for unit in (each.unit, each.peer)]
        # At once: what they count does not depend on the others.
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            found_instructions = threads.map(
                lambda unit: unit.instructions(aws.endpoint_url), counting
            )
            counted = dict(zip(map(repr, counting), found_instructions, strict=True))
    found = [
        Measured(
            each,
            cpu[repr(each.unit)],
            cpu[repr(each.peer)],
            _ratio(counted.get(repr(each.unit)), counted.get(repr(each.peer))),
        )
        for each in asked
    ]
    for each in found:
        _show(each)
    return found


def _show(found: Measured) -> None:
    """Print ours and its peer, a line for each: the share, and the least CPU of all rounds."""
    asked, share = found.overhead, found.instructions_ratio
    bound = f" (at most {asked.at_most:.2f})" if asked.at_most else ""
    bound += "" if share is None else f", {share:.2f} of the instructions"
    print(f"{found.ratio:5.2f}  {min(found.ours) * 1e6:5.0f} us CPU  {asked.title}{bound}")
    print(f" 1.00  {min(found.peer) * 1e6:5.0f} us CPU  {asked.peer_title}")


def _check_calls(asked: Overhead, aws: LoopbackAws) -> None:
    """Raise UnitFailed unless a unit of ours writes as often as its peer: one that is refused, say,
    would be quick, and no work."""
    found = []
    for unit in (asked.unit, asked.peer):
        aws.requests()
        unit.cpu(1, aws.endpoint_url)
        counted = aws.requests()
        found.append({name: counted[name] for name in ("PutItem", "UpdateItem", "Invoke")})
    if found[0] != found[1]:
        raise UnitFailed(f"{asked.title}: it calls {found[0]}, and its peer {found[1]}")


def _ratio(ours: float | None, peer: float | None) -> float | None:
    return None if ours is None or peer is None else ours / peer


def main() -> int:
    """Measure, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overheads", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--units", type=int, default=100, help="in a stretch, of which four count")
    parser.add_argument("--bounded", action="store_true", help="fail above the bounds")
    parser.add_argument("--no-peers", action="store_true", help="nothing that must be installed")
    parser.add_argument("--cpu-only", action="store_true", help="count no instructions")
    given = parser.parse_args()
    try:
        found = measure(
            given.rounds,
            given.units,
            peers=not given.no_peers,
            instructions=not given.cpu_only,
        )
    except NotInstalled as problem:
        print(f"{FASTAPI.title} can't be installed: {problem}", file=sys.stderr)
        return 1
    above = [each for each in found if each.is_above]
    for each in above:
        print(each.told, file=sys.stderr)
    return 1 if given.bounded and above else 0


if __name__ == "__main__":
    sys.exit(main())
