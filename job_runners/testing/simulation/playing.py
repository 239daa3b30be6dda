"""Settings, silence and repeatable random choices for jobs on a simulated Lambda.

The fixture `hostile` and the histories in tests/support/histories use them.
"""

import os
import random
import uuid
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import job_runners.aws.errors
import job_runners.handlers.timer
from job_runners import caches
from job_runners.engine.dispatch import bulk
from job_runners.engine.groups import markers
from job_runners.engine.settling import group_ends
from job_runners.engine.telemetry import telemetry, tracebacks
from job_runners.store import (
    answer_links,
    group_chunks,
    groups,
    job_request,
    schedule,
)
from job_runners.testing import moto_direct
from job_runners.testing.aws import WORKER
from job_runners.work import gathering, retry

DELAY_QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/delay"
CLASS_PREFIX = "stack-worker-"
SETTINGS = {
    "JOB_RUNNER": "lambda-async",
    "WORKER_LAMBDA_FUNCTION_NAME": WORKER,
    "DELAY_QUEUE_URL": DELAY_QUEUE,
    "WORKER_CLASS_PREFIX": CLASS_PREFIX,
}
_SHARDS = 1


@contextmanager
def quietly() -> Iterator[None]:
    """Print nothing in this block, and use one thread and one shard."""
    telemetry.logger.setLevel("CRITICAL")
    with (
        ExitStack() as cleanup,
        Path(os.devnull).open("w") as devnull,
        redirect_stdout(devnull),  # metrics
        # Powertools warns about timer runs that were killed
        warnings.catch_warnings(action="ignore"),
        # A timer run queries every shard. With one shard, a history takes half the time.
        patch.object(job_request, "DUE_SHARDS", _SHARDS),
        patch.object(schedule, "SHARDS", _SHARDS),
        # Formatting tracebacks would take a seventh of a history's time.
        patch.object(tracebacks, "format_error", repr),
        # With one thread, the same choices give the same history.
        patch.object(bulk, "THREADS", 1),
        patch.object(group_ends, "_THREADS", 1),
        patch.object(job_runners.handlers.timer, "_THREADS", 1),
        # Groups of three have two chunks, and those of more than two have two shards.
        patch.object(group_chunks, "SIZE", 2),
        patch.object(groups, "_LARGE_GROUP_SHARDS", 2),
        # Members are dispatched, canceled and swept one by one.
        patch.object(gathering, "_BATCH_SIZE", 1),
        patch.object(group_ends, "PAGE_LIMIT", 1),
        patch.object(markers, "_PAGE_SIZE", 1),
    ):
        cleanup.callback(telemetry.logger.setLevel, "INFO")
        yield


@contextmanager
def fixed_randomness() -> Iterator[None]:
    """Draw the same ids and delays in every replay."""
    source = random.Random(0)  # noqa: S311
    source_of_retry_delays = random.Random(0)  # noqa: S311
    with (
        patch.object(retry, "_RANDOM", source),
        # The delays before retries of a call to AWS decide whether a retry begins in time.
        patch.object(job_runners.aws.errors, "SystemRandom", lambda: source_of_retry_delays),
        # A job may put a link into its effects, which must be the same in each play.
        patch.object(
            answer_links,
            "_token",
            lambda job, name: job_request.derived_id("link", job.work_id, name),
        ),
        patch("uuid.uuid4", lambda: uuid.UUID(int=source.getrandbits(128), version=4)),
    ):
        yield


def sweep() -> None:
    """Empty all tables and the bucket, and forget cached reads."""
    moto_direct.clear_all()
    caches.forget_all()
    moto_direct.empty("bucket")
