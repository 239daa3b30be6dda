"""What the fixture `hostile` and the histories in tests/support/histories share.

They run jobs on a simulated Lambda, silently and reproducibly.
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
from job_runners.testing.aws import WORKER_ARN
from job_runners.work import gathering, retry

DELAY_QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/delay"
CLASS_PREFIX = "stack-worker-"
SETTINGS = {
    "JOB_RUNNER": "lambda-async",
    "WORKER_LAMBDA_FUNCTION_NAME": WORKER_ARN,
    "DELAY_QUEUE_URL": DELAY_QUEUE,
    "WORKER_CLASS_PREFIX": CLASS_PREFIX,
}
_SHARDS = 1


@contextmanager
def quietly() -> Iterator[None]:
    """Print nothing, and shrink threads, shards and pages, so that runs are fast and repeatable."""
    telemetry.logger.setLevel("CRITICAL")
    with (
        ExitStack() as cleanup,
        Path(os.devnull).open("w") as devnull,
        redirect_stdout(devnull),  # discards metrics
        # Powertools warns about killed timer runs.
        warnings.catch_warnings(action="ignore"),
        # A timer run queries every shard, so one shard halves a history's time.
        patch.object(job_request, "DUE_SHARDS", _SHARDS),
        patch.object(schedule, "SHARDS", _SHARDS),
        # Formatting tracebacks would take a seventh of a history's time.
        patch.object(tracebacks, "format_error", repr),
        # With several threads, the same choices could give different histories.
        patch.object(bulk, "THREADS", 1),
        patch.object(group_ends, "_THREADS", 1),
        patch.object(job_runners.handlers.timer, "_THREADS", 1),
        # Even a group of three members has two chunks and two shards.
        patch.object(group_chunks, "SIZE", 2),
        patch.object(groups, "_LARGE_GROUP_SHARDS", 2),
        # Dispatch, cancel and sweep members one by one.
        patch.object(gathering, "_BATCH_SIZE", 1),
        patch.object(group_ends, "PAGE_LIMIT", 1),
        patch.object(markers, "_PAGE_SIZE", 1),
    ):
        cleanup.callback(telemetry.logger.setLevel, "INFO")
        yield


@contextmanager
def fixed_randomness() -> Iterator[None]:
    """Generate the same ids and delays in every replay."""
    random_numbers = random.Random(0)  # noqa: S311
    numbers_for_call_retries = random.Random(0)  # noqa: S311
    with (
        patch.object(retry, "_RANDOM", random_numbers),
        # The delay before a call's retry decides whether the retry begins in time.
        patch.object(job_runners.aws.errors, "SystemRandom", lambda: numbers_for_call_retries),
        # A job's effects may contain a link, and must be the same in each play.
        patch.object(
            answer_links,
            "_token",
            lambda job, name: job_request.derived_id("link", job.work_id, name),
        ),
        patch("uuid.uuid4", lambda: uuid.UUID(int=random_numbers.getrandbits(128), version=4)),
    ):
        yield


def sweep() -> None:
    """Empty all tables, the bucket and all caches."""
    moto_direct.clear_all()
    caches.forget_all()
    moto_direct.empty("bucket")
