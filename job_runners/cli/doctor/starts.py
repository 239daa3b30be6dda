"""Check that workers can start the jobs that wait for a worker.

A job is unclaimed until a worker starts it. The timer keeps unclaimed jobs in lanes, which are
parts of its index of due jobs.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from job_runners.cli.doctor.check import Issue, Verdict
from job_runners.cli.doctor.deployed import Deployed, Item
from job_runners.cli.output import count, duration

# The lanes of jobs that a worker could not start, with the reason if the lane tells it. The timer
# has sent the jobs of the first lane again, and doesn't send those of the second.
_REASONS_BY_LANE = {
    "resent-": None,
    "held-": "The deployed code lacks this job type, or is older than the job.",
}
_UNCLAIMED = ("queued", "scheduled", "retryable")
_NEXT_CHECK = 2 * 3600  # seconds: the timer checks an unclaimed job at least every hour
_SEARCHED_SECONDS = 70 * 60  # of the log: a job is sent again at least every hour
_MAX_WAIT = 10 * 60  # seconds: the command advises only about longer waits
_MAX_ISSUES = 10
# The field `job_is` of the log line of a message whose invocation Lambda could not start.
_NEVER_BEGAN = "not of this message: its invocation began nothing"


def check_starts(deployed: Deployed) -> Iterator[Issue]:
    """Check for jobs that wait although a worker got their message, and say why."""
    jobs = list(_find_unclaimed(deployed))
    if not jobs:
        return
    log_group = deployed.job_function.removesuffix("Function") + "LogGroup"
    log_command = f"aws logs tail {deployed.id(log_group)} --since 2h"
    reasons = _find_reasons(deployed, log_group)
    ids_by_problem: dict[tuple[str, str], list[str]] = defaultdict(list)
    others: list[_Unclaimed] = []
    for job in jobs:
        why = reasons.get(job.id) or _REASONS_BY_LANE[job.lane]
        if why is None:
            others.append(job)
        else:
            ids_by_problem[job.job_type, why].append(job.id)
    for (job_type, why), ids in list(ids_by_problem.items())[:_MAX_ISSUES]:
        yield Issue(
            f"{count(len(ids), 'job')} of the type {job_type} can't start: {why} One is {ids[0]}.",
            "Fix the code or its settings, and deploy again. The timer sends the jobs again within "
            f"an hour. The worker's log has the error: {log_command}",
        )
    oldest = min(others, key=lambda job: job.since, default=None)
    if oldest is None:
        return
    waited = time.time() - oldest.since / 1000
    if waited > _MAX_WAIT:
        yield Issue(
            f"{count(len(others), 'job')} can't get a worker. The oldest, {oldest.id}, has "
            f"waited for {duration(waited)}.",
            f"All workers may be busy, or can't be loaded: {log_command}",
            Verdict.ADVICE,
        )


class _Unclaimed(NamedTuple):
    """A job that no worker has started, although it could run."""

    id: str
    job_type: str
    lane: str
    since: int  # when it could have started, in milliseconds since 1970


def _find_unclaimed(deployed: Deployed) -> Iterator[_Unclaimed]:
    now = int(time.time() * 1000)
    for lane in _REASONS_BY_LANE:
        for row in deployed.due_rows(lane, now + _NEXT_CHECK * 1000):
            queued_at = _time(row, "queued_at") or _time(row, "created_at")
            since = max(queued_at, _time(row, "run_at"))
            if row["status"]["S"] in _UNCLAIMED and since <= now:
                yield _Unclaimed(row["id"]["S"], row["job_type"]["S"], lane, since)


def _time(row: Item, attribute: str) -> int:
    """Return a time of a job in milliseconds since 1970, or 0 if the job doesn't have it."""
    return int(row.get(attribute, {}).get("N", 0))


def _find_reasons(deployed: Deployed, log_group: str) -> dict[str, str]:
    """Return why workers could not start jobs, by job id. A later reason replaces earlier ones."""
    reasons = {}
    for line in deployed.recent_lines(
        "FailuresLogGroup", "failure record ignored", _SEARCHED_SECONDS
    ):
        if line.get("job_is") == _NEVER_BEGAN:
            reasons[line.get("job_id")] = "Lambda could not start the worker."
    for line in deployed.recent_lines(log_group, "crashed", _SEARCHED_SECONDS):
        reasons[line.get("job_id")] = _with_period(str(line.get("exception", "")).split("\n")[-1])
    for line in deployed.recent_lines(log_group, "left for later", _SEARCHED_SECONDS):
        reasons[line.get("job_id")] = _with_period(str(line.get("why", "")))
    return {job_id: why for job_id, why in reasons.items() if job_id is not None}


def _with_period(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
