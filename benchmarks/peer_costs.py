"""Measure a dispatch and a cold start with Job Runners, with each peer, and with bare boto3."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.environment import PROGRAMS, PROJECT
from benchmarks.fresh_process import Cost, Program, compare
from benchmarks.overheads import recorded_aws
from benchmarks.peers import DURABLE, FASTAPI, Peer
from benchmarks.units import Unit, UnitFailed, cpu_in_turns, ours
from job_runners.building.build import Target, build

OURS, BARE = "Job Runners", "bare boto3"
JOB, TASK = f"{OURS}, a job", f"{OURS}, a task"
PUT_AND_INVOKE, INVOKE = f"{BARE}, put_item and invoke", f"{BARE}, invoke"
API = f"{OURS}, the API"


def failing(peers: Sequence[Peer]) -> dict[Peer, str]:
    """Try one dispatch or request with each peer. Return those that fail, with the reasons."""
    found = {}
    with recorded_aws() as (aws, _):
        for peer in peers:
            try:
                _unit(peer).cpu(1, aws.endpoint_url)
            except UnitFailed as problem:
                found[peer] = str(problem)
    return found


def dispatches(peers: Sequence[Peer], rounds: int, size: int) -> dict[str, float]:
    """Return the CPU seconds of a dispatch with each peer: the lowest of all rounds."""
    with recorded_aws() as (aws, recording):
        units = {
            PUT_AND_INVOKE: Unit("bare.job", (recording,)),
            INVOKE: Unit("bare.task", (recording,)),
            JOB: ours("job", recording),
            TASK: ours("task", recording),
        }
        for peer in peers:
            if peer != FASTAPI:
                units[peer.title] = _unit(peer)
        in_turns = cpu_in_turns(units, rounds, size, aws.endpoint_url)
        return {name: min(seconds) for name, seconds in in_turns.items()}


def cold_starts(peers: Sequence[Peer], rounds: int) -> Mapping[str, Cost]:
    """Return the cost of a process until its first dispatch or request is answered.

    Our code runs from a built tree, and a peer's from its own environment.
    """
    with tempfile.TemporaryDirectory() as folder, recorded_aws() as (aws, recording):
        tree = Path(folder) / "tree"
        build(Target.this_machine(), tree)

        def program(unit: Unit, *folders: Path, **variables: str) -> Program:
            environment = {"AWS_ENDPOINT_URL": aws.endpoint_url, **variables}
            code = f"import os; os.environ.update({environment!r}); {unit.code(0)}"
            return Program(code, (*folders, PROGRAMS))

        work = {"PROJECT_PACKAGES": "peer_work"}
        accepting = {"JOB_RUNNER": "peer_work.accepting_runner"}
        programs = {
            JOB: program(ours("job", recording), tree, PROJECT, **work),
            API: program(ours("route", recording), tree, PROJECT, **work, **accepting),
        }
        if DURABLE in peers:
            bare = Unit("bare.job", (recording,))
            programs[PUT_AND_INVOKE] = program(bare, DURABLE.packages_folder)
        for peer in peers:
            programs[peer.title] = program(_unit(peer), peer.packages_folder)
        return compare(programs, rounds)


def _unit(peer: Peer) -> Unit:
    return peer.unit(f"{peer.lock}_program.{'route' if peer == FASTAPI else 'dispatch'}")


def processors() -> str:
    """Describe this machine's processors: their number and model."""
    model = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = (line for line in info.read_text().splitlines() if line.startswith("model name"))
        model = next(lines, "").partition(":")[2].strip()
    return f"{os.cpu_count()} processors{f' ({model})' if model else ''}"
