"""Compare Job Runners with its peers and write docs/benchmarks.md: `python -m benchmarks`.

Each figure is a ratio to something measured in the same run. The page lists the parts that could
not run, with the reasons. The command fails if a bound is exceeded, or
if a part about Job Runners itself can't be measured.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import cold_start, kills, overheads, peer_costs, requests_made, start_latency
from benchmarks.live_aws import VISIBILITY, LiveAws, live_aws
from benchmarks.peers import CELERY, DRAMATIQ, DURABLE, FASTAPI, PEERS, ZAPPA, NotInstalled, Peer
from benchmarks.report import Report, written
from job_runners.local.problem import LocalProblem
from job_runners.places import CODE

PAGE = CODE / "docs" / "benchmarks.md"


def main() -> int:
    """Measure, and write the page. Return 1 if a bound is exceeded or one of our parts failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="rounds of fresh processes")
    parser.add_argument("--units", type=int, default=60, help="dispatches per measurement")
    parser.add_argument("--dispatches", type=int, default=200, help="dispatches on the local AWS")
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    report = Report()
    peers = _installed(report)
    for title, part in _parts(report, peers, given).items():
        say(title)
        _try(report, title, part, must_work=True)
    for version in cold_start.other_pythons():
        title = f"Cold starts of the functions on Python {version}"
        say(title)
        _try(report, title, partial(_on_another_python, report, version, given.rounds))
    say("Requests, times to start, and kills, on the local AWS")
    try:
        with live_aws() as live:
            _on_the_local_aws(report, live, peers, given.dispatches)
    except LocalProblem as problem:
        report.missing["the local AWS"] = str(problem)
    given.page.write_text(written(report))
    say(f"Written: {given.page}")
    for line in [*report.above, *report.failed]:
        print(line, file=sys.stderr)
    return 1 if report.above or report.failed else 0


def _parts(
    report: Report, peers: list[Peer], given: argparse.Namespace
) -> dict[str, Callable[[], object]]:
    """Return the parts that need no local AWS, by title."""

    def functions() -> None:
        report.functions = cold_start.measure(given.rounds)

    def added() -> None:
        report.overheads = overheads.measure(given.rounds, given.units, peers=FASTAPI in peers)

    def dispatches() -> None:
        report.dispatches = peer_costs.dispatches(peers, given.rounds, given.units)

    def cold_starts() -> None:
        report.cold_starts = peer_costs.cold_starts(peers, given.rounds)

    return {
        "Cold starts of the functions": functions,
        "What Job Runners adds to its calls": added,
        "Dispatches": dispatches,
        "Cold starts, to the first dispatch": cold_starts,
    }


def _on_another_python(report: Report, version: str, rounds: int) -> None:
    report.on_other_pythons[version] = cold_start.measure(rounds, version=version)


def say(step: str) -> None:
    """Print the title of the part that starts now."""
    print(f"== {step}", flush=True)


def _installed(report: Report) -> list[Peer]:
    """Install the peers, and return those that work.

    The report gets their versions, and the reasons why the others don't work.
    """
    found = []
    for peer in PEERS:
        say(f"{peer.title}: its environment")
        try:
            peer.install()
        except NotInstalled as problem:
            report.missing[peer.title] = f"can't be installed: {problem}"
        else:
            report.versions[peer.title] = peer.versions
            found.append(peer)
    failing = peer_costs.failing(found)
    report.missing |= {peer.title: reason for peer, reason in failing.items()}
    return [peer for peer in found if peer not in failing]


def _on_the_local_aws(report: Report, live: LiveAws, peers: list[Peer], dispatches: int) -> None:
    for queue in ("celery", "dramatiq"):
        live.client("sqs").create_queue(
            QueueName=queue, Attributes={"VisibilityTimeout": str(VISIBILITY)}
        )
    live.client("dynamodb").create_table(
        TableName="zappa_results",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    our_parts: dict[str, Callable[[], object]] = {
        "Times to start": partial(_times_to_start, report, live, dispatches),
        "Requests for a job": partial(_requests_for_a_job, report),
        "Kills of a job's worker": partial(_kills_of_ours, report, live),
    }
    for title, part in our_parts.items():
        _try(report, title, part, must_work=True)
    for peer, measure_peer in _PEER_PARTS.items():
        if peer in peers:
            _try(report, f"{peer.title}, on the local AWS", partial(measure_peer, report, live))


def _times_to_start(report: Report, live: LiveAws, dispatches: int) -> None:
    report.latencies = start_latency.measure(live, dispatches)


def _requests_for_a_job(report: Report) -> None:
    with overheads.recorded_aws() as (_, recording):
        report.requests["Job Runners, a job"] = requests_made.of_a_recording(Path(recording))


def _kills_of_ours(report: Report, live: LiveAws) -> None:
    report.aftermaths += [
        kills.ours(live, "peer_job", "Job Runners, a job"),
        kills.ours(
            live, "peer_job_tagged", "Job Runners, a job with a retry policy", retryable=True
        ),
    ]


def _try(
    report: Report, title: str, part: Callable[[], object], *, must_work: bool = False
) -> None:
    """Measure a part. If that fails, note the reason for the page and continue with the next part.

    If `must_work` is true, the command then exits with code 1 after the other parts.
    """
    try:
        part()
    except (Exception, SystemExit) as problem:  # noqa: BLE001 - the other parts are still measured
        report.missing[title] = f"{type(problem).__name__}: {problem}"
        if must_work:
            report.failed.append(f"{title}: {report.missing[title]}")


def _zappa(report: Report, live: LiveAws) -> None:
    live.create_function("zappa", [ZAPPA.packages_folder])
    report.requests[ZAPPA.title] = requests_made.zappa(live)
    report.aftermaths.append(kills.zappa(live))


def _celery(report: Report, live: LiveAws) -> None:
    report.requests[CELERY.title] = requests_made.celery(live)
    report.aftermaths.append(kills.celery(live, "work", CELERY.title))
    late = kills.celery(live, kills.LATE, f"{CELERY.title}, acks_late")
    child = kills.celery(live, "work", f"{CELERY.title}, its child process alone", child_alone=True)
    report.aftermaths += [late, child]


def _dramatiq(report: Report, live: LiveAws) -> None:
    report.requests[DRAMATIQ.title] = requests_made.dramatiq(live)
    report.aftermaths.append(kills.dramatiq(live))


def _fastapi(report: Report, live: LiveAws) -> None:
    live.create_function("fastapi", [FASTAPI.packages_folder])
    report.aftermaths.append(kills.fastapi(live))


def _durable(report: Report, live: LiveAws) -> None:
    function = live.create_function("durable", [DURABLE.packages_folder], durable=True)
    report.requests[DURABLE.title] = requests_made.durable(live, function)
    report.aftermaths.append(kills.durable(live))


_PEER_PARTS = {
    ZAPPA: _zappa,
    CELERY: _celery,
    DRAMATIQ: _dramatiq,
    FASTAPI: _fastapi,
    DURABLE: _durable,
}

if __name__ == "__main__":
    sys.exit(main())
