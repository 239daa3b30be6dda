"""Check that workers can start the jobs that are ready to run.

A job is unclaimed until a worker starts it. The timer finds jobs to check in its index of due jobs.
The parts of this index are called lanes.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from job_runners.cli.doctor.check import Issue, Verdict
from job_runners.cli.doctor.deployed import Deployed, Item
from job_runners.cli.output import count, duration

# The lanes with unclaimed jobs. Each has the reason why its jobs don't start, if this is always the
# same. The timer has resent the jobs in the first lane. It doesn't resend the jobs in the second.
_REASONS_BY_LANE = {
    "resent-": None,
    "held-": "The deployed code lacks this job type, or is older than the job.",
}
_UNCLAIMED_STATUSES = ("queued", "scheduled", "retryable")
_NEXT_CHECK = 2 * 3600  # seconds; the timer checks an unclaimed job at least every hour
_SEARCHED_SECONDS = 70 * 60  # how far back logs are read; a job is resent at least every hour
_MAX_WAIT = 10 * 60  # seconds after which a job that waits for a worker is reported
_MAX_ISSUES = 10
# A log line has this `job_is` if Lambda couldn't start the invocation for a message.
_NEVER_BEGAN = "not of this message: its invocation began nothing"


class _UnclaimedJob(NamedTuple):
    """A job that no worker has started, although it is ready to run."""

    id: str
    job_type: str
    lane: str
    ready_at: int  # milliseconds since 1970


def check_starts(deployed: Deployed) -> Iterator[Issue]:
    """Check for jobs that no worker could start, and report why."""
    jobs = list(_find_unclaimed(deployed))
    if not jobs:
        return
    log_group = deployed.job_function.removesuffix("Function") + "LogGroup"
    log_command = f"aws logs tail {deployed.physical_id(log_group)} --since 2h"
    reasons = _find_reasons(deployed, log_group)
    ids_by_problem: dict[tuple[str, str], list[str]] = defaultdict(list)
    without_reason: list[_UnclaimedJob] = []
    for job in jobs:
        reason = reasons.get(job.id) or _REASONS_BY_LANE[job.lane]
        if reason is None:
            without_reason.append(job)
        else:
            ids_by_problem[job.job_type, reason].append(job.id)
    for (job_type, reason), ids in list(ids_by_problem.items())[:_MAX_ISSUES]:
        yield Issue(
            f"{count(len(ids), 'job')} of the type {job_type} can't start: {reason} One is "
            f"{ids[0]}.",
            "Fix the code or its settings, and deploy again. The timer sends the jobs again within "
            f"an hour. The worker's log has the error: {log_command}",
        )
    if without_reason:
        yield from _check_wait(without_reason, log_command)


def _check_wait(jobs: list[_UnclaimedJob], log_command: str) -> Iterator[Issue]:
    oldest = min(jobs, key=lambda job: job.ready_at)
    waited = time.time() - oldest.ready_at / 1000
    if waited > _MAX_WAIT:
        yield Issue(
            f"{count(len(jobs), 'job')} can't get a worker. The oldest, {oldest.id}, has "
            f"waited for {duration(waited)}.",
            f"All workers may be busy, or can't be loaded: {log_command}",
            Verdict.ADVICE,
        )


def _find_unclaimed(deployed: Deployed) -> Iterator[_UnclaimedJob]:
    now = int(time.time() * 1000)
    for lane in _REASONS_BY_LANE:
        for row in deployed.due_rows(lane, now + _NEXT_CHECK * 1000):
            queued_at = _time(row, "queued_at") or _time(row, "created_at")
            ready_at = max(queued_at, _time(row, "run_at"))
            if row["status"]["S"] in _UNCLAIMED_STATUSES and ready_at <= now:
                yield _UnclaimedJob(row["id"]["S"], row["job_type"]["S"], lane, ready_at)


def _time(row: Item, attribute: str) -> int:
    """Return one of the job's times in milliseconds since 1970, or 0 if it has no such time."""
    return int(row.get(attribute, {}).get("N", 0))


def _find_reasons(deployed: Deployed, log_group: str) -> dict[str, str]:
    """Return why workers couldn't start jobs, by job id.

    The logs are read oldest first, so that a later reason replaces an earlier one.
    """
    reasons = {}
    for line in deployed.recent_lines(
        "FailuresLogGroup", "failure record ignored", _SEARCHED_SECONDS
    ):
        if line.get("job_is") == _NEVER_BEGAN:
            reasons[line.get("job_id")] = "Lambda could not start the worker."
    for line in deployed.recent_lines(log_group, "crashed", _SEARCHED_SECONDS):
        last_line_of_traceback = str(line.get("exception", "")).split("\n")[-1]
        reasons[line.get("job_id")] = _with_period(last_line_of_traceback)
    for line in deployed.recent_lines(log_group, "left for later", _SEARCHED_SECONDS):
        reasons[line.get("job_id")] = _with_period(str(line.get("why", "")))
    return {job_id: reason for job_id, reason in reasons.items() if job_id is not None}


def _with_period(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
