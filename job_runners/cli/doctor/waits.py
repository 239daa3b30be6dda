"""Check that jobs continue when the time of their wait is over."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from job_runners.cli.doctor.check import Issue
from job_runners.cli.doctor.deployed import Deployed
from job_runners.cli.doctor.due_rows import due_rows

_LANE = "waits-"  # the prefix of the shards of the due index that have waiting jobs
_LATE = 10 * 60  # seconds; the timer continues a job within about a minute
_MOST = 10  # jobs that are named


def waits(deployed: Deployed) -> Iterator[Issue]:
    """Check for jobs that still wait for a signal although their timeout is over."""
    before = int((time.time() - _LATE) * 1000)
    late = sorted(_late(deployed, before))
    if not late:
        return
    log = f"The timer's log has the reason: aws logs tail {deployed.id('TimerLogGroup')} --since 1h"
    for until, job_id, job_type in late[:_MOST]:
        ended = datetime.fromtimestamp(until / 1000, UTC).isoformat(" ", "seconds")
        yield Issue(
            f"Job {job_id} ({job_type}) still waits, although its wait ended at {ended}.", log
        )
    if len(late) > _MOST:
        yield Issue(f"So do at least {len(late) - _MOST:,} other jobs.", log)


def _late(deployed: Deployed, before: int) -> Iterator[tuple[int, str, str]]:
    """Yield the end of the wait, the id and the type of each job whose wait ended before a time."""
    for row in due_rows(deployed, _LANE, before, ("id", "job_type", "held_by", "current_wait")):
        until = json.loads(row.get("current_wait", {}).get("S", "{}")).get("until", before)
        if row.get("held_by", {}).get("S", "").startswith("signal#") and until < before:
            yield until, row["id"]["S"], row["job_type"]["S"]
