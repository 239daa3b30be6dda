"""Check that workers can start the jobs that wait for a worker."""

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from job_runners.cli.doctor.check import Issue, Verdict
from job_runners.cli.doctor.deployed import Deployed
from job_runners.cli.output import duration

# Prefixes of the shards of the due index: of jobs that the timer has sent again, and of jobs that
# it doesn't send. Each is with the reason that is known without the log.
_LANES = {
    "resent-": None,
    "held-": "The deployed code lacks this job type, or is older than the job.",
}
_UNCLAIMED = ("queued", "scheduled", "retryable")
_NEXT_CHECK = 2 * 3600  # seconds: the timer checks an unclaimed job at least every hour
_SEARCHED = 70 * 60  # seconds of the log: a job is sent again at least every hour
_LONG = 10 * 60  # seconds that a job may wait for a worker without advice
_MOST = 10  # reasons that are shown
_NEVER_BEGAN = "not of this message: its invocation began nothing"


def starts(deployed: Deployed) -> Iterator[Issue]:
    """Check for jobs that wait although a worker got their message, and say why."""
    jobs = list(_unclaimed(deployed))
    if not jobs:
        return
    log_group = deployed.runs_jobs_id.removesuffix("Function") + "LogGroup"
    log = f"aws logs tail {deployed.id(log_group)} --since 2h"
    reasons = _reasons(deployed, log_group)
    ids_by_problem: dict[tuple[str, str], list[str]] = defaultdict(list)
    others: list[_Unclaimed] = []
    for job in jobs:
        why = reasons.get(job.id) or _LANES[job.lane]
        if why is None:
            others.append(job)
        else:
            ids_by_problem[job.job_type, why].append(job.id)
    for (job_type, why), ids in list(ids_by_problem.items())[:_MOST]:
        yield Issue(
            f"{_number(len(ids))} of the type {job_type} can't start: {why} One is {ids[0]}.",
            "Fix the code or its settings, and deploy again. The timer sends the jobs again within "
            f"an hour. The worker's log has the error: {log}",
        )
    oldest = min(others, key=lambda job: job.since, default=None)
    if oldest is not None and (waited := time.time() - oldest.since / 1000) > _LONG:
        yield Issue(
            f"{_number(len(others))} can't get a worker. The oldest, {oldest.id}, has waited for "
            f"{duration(waited)}.",
            f"All workers may be busy, or can't be loaded: {log}",
            Verdict.ADVICE,
        )


class _Unclaimed(NamedTuple):
    """A job that no worker has claimed, though it could run since a time in milliseconds."""

    id: str
    job_type: str
    lane: str
    since: int


def _unclaimed(deployed: Deployed) -> Iterator[_Unclaimed]:
    now = int(time.time() * 1000)
    for lane in _LANES:
        for row in deployed.due_rows(lane, now + _NEXT_CHECK * 1000):
            created, queued, run_at = (
                int(row.get(name, {}).get("N", 0)) for name in ("created_at", "queued_at", "run_at")
            )
            since = max(queued or created, run_at)
            if row["status"]["S"] in _UNCLAIMED and since <= now:
                yield _Unclaimed(row["id"]["S"], row["job_type"]["S"], lane, since)


def _reasons(deployed: Deployed, log_group: str) -> dict[str, str]:
    """Return why workers could not start jobs, by the job's id. The last reason counts."""
    found = {}
    for line in deployed.recent_lines("FailuresLogGroup", "failure record ignored", _SEARCHED):
        if line.get("job_is") == _NEVER_BEGAN:
            found[line.get("job_id")] = "Lambda could not start the worker."
    for line in deployed.recent_lines(log_group, "crashed", _SEARCHED):
        found[line.get("job_id")] = _sentence(str(line.get("exception", "")).split("\n")[-1])
    for line in deployed.recent_lines(log_group, "left for later", _SEARCHED):
        found[line.get("job_id")] = _sentence(str(line.get("why", "")))
    return {job_id: why for job_id, why in found.items() if job_id is not None}


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _number(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"
