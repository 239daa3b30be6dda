"""Measure what Job Runners adds to its AWS calls: `python -m benchmarks.overheads`.

It compares the CPU of a unit of work, such as one dispatch, with bare boto3 that makes exactly the
same calls. A server on the loopback stands in for AWS and answers at once, so that only the code is
measured. Compare the ratios, because the times depend on this machine.
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

from benchmarks.bounds import exceeds, ratio
from benchmarks.loopback_aws import LoopbackAws, loopback_aws
from benchmarks.recording import read, recorded
from benchmarks.units import Unit, UnitFailed, cpu_in_turns, ours


@dataclass(frozen=True)
class Overhead:
    """One of our units of work, and the peer's unit that it is compared with."""

    title: str
    unit: Unit
    peer_title: str
    peer: Unit
    at_most: float | None = None  # the bound of the ratio, if it has one


@dataclass(frozen=True)
class Measured:
    """The CPU seconds of an overhead's two units in each round."""

    overhead: Overhead
    ours: Sequence[float]
    peer: Sequence[float]
    instructions_ratio: float | None = None  # None if instructions weren't counted

    @property
    def ratio(self) -> float:
        """Our CPU divided by the peer's: the median of the rounds.

        Dividing the lowest values would be less accurate. They could come from different rounds,
        and the machine's speed changes between rounds.
        """
        return median(ours / peer for ours, peer in zip(self.ours, self.peer, strict=True))

    @property
    def is_above(self) -> bool:
        """Whether the ratio exceeds its bound, as `exceeds` defines it."""
        bound = self.overhead.at_most
        return bound is not None and exceeds(bound, self.ratio, self.instructions_ratio)

    @property
    def summary(self) -> str:
        """The title, the ratio of CPU and the bound, in one line."""
        return f"{self.overhead.title}: {self.ratio:.2f} (bound {self.overhead.at_most:.2f})"


@contextmanager
def recorded_aws() -> Iterator[tuple[LoopbackAws, str]]:
    """Yield a server with recorded responses, and the path of the recording."""
    with tempfile.TemporaryDirectory() as folder:
        recording = recorded(Path(folder))
        with loopback_aws(read(recording)) as aws:
            yield aws, str(recording)


def overheads(recording: str) -> list[Overhead]:
    """Return the overheads to measure. Only the one whose title mentions its log line writes log
    lines."""
    calls = "put_item and invoke with bare boto3"
    job, task = ours("job", recording), ours("task", recording)
    bare = {name: Unit(f"bare.{name}", (recording,)) for name in _BARE}
    return [
        Overhead("dispatching a job", job, calls, bare["job"], at_most=1.08),
        Overhead(
            "dispatching a job, with its log line",
            ours("job", recording, POWERTOOLS_LOG_LEVEL="INFO"),
            calls,
            bare["job"],
        ),
        Overhead("dispatching a task", task, "invoke with bare boto3", bare["task"]),
        Overhead(
            "a worker's run of a job, from the claim to the outcome",
            ours("work", recording),
            "two update_items with bare boto3",
            bare["two_updates"],
            at_most=1.20,
        ),
    ]


_BARE = ("job", "task", "two_updates")


def measure(rounds: int, size: int, *, instructions: bool = True) -> list[Measured]:
    """Measure each overhead, and print a table."""
    with recorded_aws() as (aws, recording):
        selected = overheads(recording)
        for overhead in selected:
            _check_calls(overhead, aws)
        units = {repr(unit): unit for each in selected for unit in (each.unit, each.peer)}
        cpu = cpu_in_turns(units, rounds, size, aws.endpoint_url)
        bounded = [each for each in selected if instructions and each.at_most is not None]
        to_count = [unit for each in bounded for unit in (each.unit, each.peer)]
        # Units can run at the same time, because that doesn't change their number of instructions.
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            found_instructions = threads.map(
                lambda unit: unit.instructions(aws.endpoint_url), to_count
            )
            counted = dict(zip(map(repr, to_count), found_instructions, strict=True))
    found = [
        Measured(
            each,
            cpu[repr(each.unit)],
            cpu[repr(each.peer)],
            ratio(counted.get(repr(each.unit)), counted.get(repr(each.peer))),
        )
        for each in selected
    ]
    for each in found:
        _show(each)
    return found


def _show(found: Measured) -> None:
    """Print a line for our unit and one for the peer's, with its ratio and its lowest CPU."""
    overhead, share = found.overhead, found.instructions_ratio
    bound = f" (at most {overhead.at_most:.2f})" if overhead.at_most else ""
    bound += "" if share is None else f", {share:.2f} of the instructions"
    print(f"{found.ratio:5.2f}  {min(found.ours) * 1e6:5.0f} us CPU  {overhead.title}{bound}")
    print(f" 1.00  {min(found.peer) * 1e6:5.0f} us CPU  {overhead.peer_title}")


def _check_calls(overhead: Overhead, aws: LoopbackAws) -> None:
    """Raise UnitFailed unless our unit makes as many writes and invocations as its peer.

    For example, a unit whose request is refused would be fast without doing any work.
    """
    found = []
    for unit in (overhead.unit, overhead.peer):
        aws.requests()
        unit.cpu(1, aws.endpoint_url)
        counted = aws.requests()
        found.append({name: counted[name] for name in ("PutItem", "UpdateItem", "Invoke")})
    if found[0] != found[1]:
        raise UnitFailed(
            f"{overhead.title} makes the calls {found[0]}, but its peer makes {found[1]}"
        )


def main() -> int:
    """Measure, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overheads", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument(
        "--units", type=int, default=100, help="units per measurement (a process makes four)"
    )
    parser.add_argument("--bounded", action="store_true", help="fail if a bound is exceeded")
    parser.add_argument("--cpu-only", action="store_true", help="don't count instructions")
    given = parser.parse_args()
    found = measure(given.rounds, given.units, instructions=not given.cpu_only)
    above = [each for each in found if each.is_above]
    for each in above:
        print(each.summary, file=sys.stderr)
    return 1 if given.bounded and above else 0


if __name__ == "__main__":
    sys.exit(main())
