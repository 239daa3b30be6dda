"""Measure Job Runners in an AWS account, on a throwaway stack that is removed at the end.

    .venv/bin/python -m benchmarks.first_hour --profile NAME --region eu-west-1 --report hour.md

The stack, its checks and its removal are those of `job-runners smoke`.
"""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from job_runners.building import smoke_work
from job_runners.cli import account, project_tools
from job_runners.cli.app import exit_with_code
from job_runners.cli.commands.smoke import check_folder, checks, throwaway_stack
from job_runners.cli.doctor.check import Finding
from job_runners.cli.problem import Exit, Problem
from job_runners.cli.smoke import report
from job_runners.cli.smoke.kinds import NotAsExpected, Work
from job_runners.cli.target import Target
from job_runners.cli.uploading import upload

_COLD_SECONDS = 2.0  # of each job that needs a worker of its own
_COUNTED = (
    "The counts leave out the capacity of the tables' indexes, and SQS, S3, logs and alarms. They "
    "include the requests of this command, most of which ask whether jobs have ended."
)
Rows = Iterator[tuple[str, str]]  # the name of a measurement and its result


@dataclass(frozen=True)
class Sizes:
    """How much to measure."""

    cold: int
    warm: int
    jobs: int
    members: int
    patience: float  # seconds until a measurement fails


def seconds_between(job: Mapping[str, Any], first: str, last: str) -> float:
    """Return the seconds between two times of a job."""
    moments = (datetime.fromisoformat(job[each]).timestamp() for each in (last, first))
    return next(moments) - next(moments)


def percentiles(seconds: Iterable[float]) -> str:
    """Return the median and the 95th percentile of durations, in milliseconds."""
    ordered = sorted(seconds)
    if not ordered:
        raise NotAsExpected("no job was measured")
    half, most = (ordered[math.ceil(len(ordered) * share) - 1] for share in (0.5, 0.95))
    return f"p50 {half * 1000:.0f} ms, p95 {most * 1000:.0f} ms ({len(ordered)} jobs)"


def cold_starts(work: Work, sizes: Sizes) -> Rows:
    """Dispatch jobs that each need a worker of their own at the same time."""
    body = {"job_type": "smoke_start", "payload": {"seconds": _COLD_SECONDS}}
    sent = list(work.target.api.dispatch_many([body] * sizes.cold))
    jobs = [work.wait_for_success(each.job.id) for each in sent if each.job]
    cold = [seconds_between(each, "created_at", "started_at") for each in jobs if each["result"]]
    yield "Dispatch to start, in a new worker", percentiles(cold)


def warm_starts(work: Work, sizes: Sizes) -> Rows:
    """Dispatch one job after another."""
    jobs = [
        work.wait_for_success(work.target.api.dispatch("smoke_start").id) for _ in range(sizes.warm)
    ]
    warm = [each for each in jobs if not each["result"]]
    seconds = [seconds_between(each, "created_at", "started_at") for each in warm]
    yield "Dispatch to start, in a worker that has run jobs", percentiles(seconds)


def many_jobs(work: Work, sizes: Sizes) -> Rows:
    """Dispatch many jobs at once, and wait until all have ended."""
    api, began = work.target.api, time.monotonic()
    results = list(api.dispatch_many({"job_type": "smoke_many"} for _ in range(sizes.jobs)))
    accepted_in = time.monotonic() - began
    if refused := [each.error for each in results if each.error]:
        raise NotAsExpected(f"{len(refused)} jobs were refused: {refused[0]}")
    jobs: list[Mapping[str, Any]] = []

    def all_ended() -> bool:
        jobs[:] = [each.raw for each in api.list(job_type="smoke_many")]
        return len(jobs) == sizes.jobs and all(each["finished_at"] for each in jobs)

    work.wait(all_ended, lambda: f"{sum(not each['finished_at'] for each in jobs)} jobs are open")
    statuses = Counter(each["status"] for each in jobs)
    if statuses != {"succeeded": sizes.jobs}:
        raise NotAsExpected(f"the jobs ended as {dict(statuses)}")
    whole = {
        "created_at": min(each["created_at"] for each in jobs),
        "finished_at": max(each["finished_at"] for each in jobs),
    }
    done_in = seconds_between(whole, "created_at", "finished_at")
    title = f"{sizes.jobs:,} jobs"
    yield f"{title}, accepted", f"{accepted_in:.1f} s ({sizes.jobs / accepted_in:.0f} per second)"
    yield f"{title}, done", f"{done_in:.1f} s ({sizes.jobs / done_in:.0f} per second)"
    spans = (seconds_between(each, "created_at", "finished_at") for each in jobs)
    yield f"{title}, each from dispatch to end", percentiles(spans)


def batch(work: Work, sizes: Sizes) -> Rows:
    """Dispatch a batch, and wait for it."""
    api = work.target.api
    lines = (
        json.dumps({"job_type": "smoke_job", "key": str(each)}) for each in range(sizes.members)
    )
    why = "The batch's members could not be uploaded."
    key = upload(work.target, "\n".join(lines).encode(), "members.jsonl", why=why)
    begun = api.dispatch_batch(members_file=key)
    work.wait(lambda: api.batch(begun.id).finished, lambda: f"batch {begun.id} is open")
    ended = api.batch(begun.id)
    if ended.succeeded != sizes.members:
        raise NotAsExpected(f"{ended.state}, and {ended.succeeded:,} members succeeded")
    seconds = seconds_between(ended.raw, "created_at", "finished_at")
    speed = sizes.members / seconds
    yield f"A batch of {sizes.members:,}", f"{seconds:.1f} s ({speed:.0f} members per second)"


def killed_by_timeout(work: Work, _: Sizes) -> Rows:
    """Run a job that can't be interrupted, until Lambda ends its worker."""
    title = f"A worker is killed by its timeout of {smoke_work.TIMEOUT} s"
    yield title, _end_of_killed(work, "smoke_timeout")


def killed_by_memory(work: Work, _: Sizes) -> Rows:
    """Run a job that needs more memory than its worker has."""
    if work.target.stack.is_local:
        yield "killed by memory", "unknown: can't be measured on a local AWS"
        return
    yield f"A worker fills its {smoke_work.MEMORY_MB} MB", _end_of_killed(work, "smoke_memory")


def _end_of_killed(work: Work, job_type: str) -> str:
    """Run a job whose worker is killed, and return when it has ended."""
    job = work.wait_for_end(work.target.api.dispatch(job_type).id)
    kind = (job.get("error") or {}).get("kind")
    if (job["status"], kind) != ("failed", "Interrupted"):
        raise NotAsExpected(f"{job['status']}, with the error {kind}")
    seconds = seconds_between(job, "started_at", "finished_at")
    return f"the job failed as Interrupted, {seconds:.1f} s after its start"


# The first two come first: smoke's checks would warm workers up, and the alarm that they wait for
# must be the only one, so that the failures come last.
_BEFORE: tuple[Callable[[Work, Sizes], Rows], ...] = (cold_starts, warm_starts)
_AFTER: tuple[Callable[[Work, Sizes], Rows], ...] = (
    many_jobs, batch, killed_by_timeout, killed_by_memory
)  # fmt: skip


@dataclass
class Hour:
    """What was measured so far."""

    work: Work
    sizes: Sizes
    rows: list[tuple[str, str]]
    findings: list[Finding]
    has_failed: bool = False

    def run(self) -> None:
        """Measure everything. A failed measurement doesn't stop the others."""
        self._measure(_BEFORE)
        for finding in checks(self.work):
            self._note(f"smoke: {finding.check}", f"{finding.verdict}: {finding.what}")
            self.findings.append(finding)
            self.has_failed |= finding.verdict == "wrong"
        self._measure(_AFTER)

    def _measure(self, measurements: Iterable[Callable[[Work, Sizes], Rows]]) -> None:
        patient = replace(self.work, max_wait=self.sizes.patience)
        for each in measurements:
            title = each.__name__.replace("_", " ")
            try:
                for row in each(patient, self.sizes):
                    self._note(*row)
            except (Problem, NotAsExpected) as problem:
                self._note(title, f"**failed**: {problem}")
                self.has_failed = True

    def _note(self, title: str, result: str) -> None:
        click.echo(f"{title}: {result}", err=True)
        self.rows.append((title, result))

    def page(self, facts: Mapping[str, Any]) -> str:
        """Return the report, without the account's number. `facts` is the report of smoke."""
        counted = [(name, f"{count:,.1f}") for name, count in facts["counted"].items()]
        where = "a local AWS" if self.work.target.stack.is_local else "AWS"
        lines = [
            f"# Measured on {where}, {facts['began_at'][:10]}\n",
            f"Job Runners {facts['version']}, build {facts['build']}, in {facts['region']}, from "
            f"{facts['began_at']} to {facts['ended_at']}.\n",
            *_table(("What", "Result"), self.rows),
            f"\nAWS counted this until the report was written, which costs "
            f"${facts['dollars']:.4f} at the prices of {facts['prices']}:\n",
            *_table(("Unit", "Count"), counted),
            f"\n{_COUNTED}",
        ]
        return "\n".join(lines).replace(facts["account"], "ACCOUNT") + "\n"


def _table(head: tuple[str, str], rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for left, right in (head, ("---", "---"), *rows):
        yield f"| {left} | {' '.join(right.replace('|', '/').split())} |"


@click.command(help=__doc__)
@click.option("--profile", metavar="NAME", help="AWS profile (default: AWS_PROFILE).")
@click.option(
    "--region", metavar="NAME", envvar="AWS_REGION", help="AWS region (default: AWS_REGION)."
)
@click.option(
    "--report",
    "file",
    required=True,
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=check_folder,
    help="File for the report, as Markdown.",
)
@click.option("--name", metavar="STACK", help="Name of the stack (default: a random one).")
@click.option("--cold", default=50, show_default=True, help="Jobs that start at the same time.")
@click.option("--warm", default=100, show_default=True, help="Jobs that start one by one.")
@click.option("--jobs", default=10_000, show_default=True, help="Jobs to run at once.")
@click.option("--members", default=5_000, show_default=True, help="Members of the batch.")
@click.option(
    "--patience", default=1800.0, show_default=True, help="Seconds until a measurement fails."
)
@click.option(
    "--settle", default=180.0, show_default=True, help="Seconds to wait for AWS's own counts."
)
def command(
    profile: str | None,
    region: str | None,
    file: Path,
    name: str | None,
    settle: float,
    **sizes: Any,
) -> Exit:
    """Measure, write the report, and remove the stack."""
    project_tools.require_project()
    checked = account.check_account(Target(region=region, profile=profile))
    target, began = Target(region=checked, profile=profile), datetime.now(UTC)
    with throwaway_stack(target, name) as (work, build):
        hour = Hour(work, Sizes(**sizes), [], [])
        try:
            hour.run()
            time.sleep(settle)
        except BaseException as error:
            hour.rows.append(("**Stopped**", f"{type(error).__name__} {error}"))
            raise
        finally:
            file.write_text(hour.page(report.report(work, hour.findings, began, build)))
            click.echo(f"Written: {file}", err=True)
    click.echo("Only sam's own stack and bucket are left: aws-sam-cli-managed-default.", err=True)
    return Exit.REFUSED if hour.has_failed else Exit.DONE


if __name__ == "__main__":
    exit_with_code(lambda: command.main(standalone_mode=False))
