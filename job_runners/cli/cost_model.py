"""Estimate the monthly AWS cost of jobs: the usage of each service times its price.

A test compares the estimated requests and units with those of real jobs. The caller passes the
numbers that depend on the work, most importantly its duration.
"""

import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SHIPPED = Path(__file__).with_name("prices.toml")  # the built-in prices

MONTH_SECONDS = 30 * 24 * 3600
# Lambda's maximum for event functions since November 2026. The template's parameter WorkerTimeout
# has the same maximum.
LONGEST_INVOCATION = 1800  # seconds
_GB = 1e9
_ROW_BYTES = 900  # bytes of a typical row without its payload, including its outcome
_INDEX_ENTRY_BYTES = 200  # bytes of a row's entry in the index that lists an organization's jobs
_LONGEST_IN_ROW = 4096  # bytes: larger compressed payloads are in the bucket (store/blobs.py)
_STEP_BYTES = 150  # bytes of the item of a step with a small result
_STEP_DAYS = 300  # for which a step's result is kept (store/steps.py)
_ERROR_KB = 1  # KB that the error of a failed attempt adds to a row
_CHECK_AFTER = 60  # seconds: the timer checks a Lambda invocation once if it takes longer
_API_SECONDS = 0.03  # duration of a dispatch in the API's Lambda function, with 1 GB
_OVERHEAD_SECONDS = 0.05  # per invocation of the worker, in addition to the work
_LOG_BYTES = {"API": 2000, "worker": 2000}  # per invocation, with Lambda's lines and metrics
_TRACED_SHARE = (
    0.05  # share of requests that X-Ray traces by default, after the first in each second
)
_TIMER_RUNS = MONTH_SECONDS / 60  # per month
_TIMER_SECONDS = 0.5  # duration of a timer run
_TIMER_READS = 28  # read units of a timer run, which reads 56 shards at half a unit each
_ALARMS = 15
# Numbers of custom metrics. A stack has three of the timer; a job type has QueueWait, RunTime and
# Succeeded. One more in each stands for those that only sometimes have a value.
_METRICS = {"job type": 4, "stack": 4}
# For each kind of limits, the additional write units of a job that starts at once, and of one that
# waits.
_LIMIT_UNITS = {None: (0, 0), "slots": (6, 17), "rate": (3, 15), "both": (8, 20)}
_RECORD_UNITS = 2  # to write a small item in a transaction: a unique key or an idempotency key
_MOVE_UNITS = 4  # to move a schedule to its next occurrence (a transaction and an index)

Limited = Literal["slots", "rate", "both"] | None


@dataclass(frozen=True)
class Prices:
    """Prices per unit, in dollars, in one region on one date."""

    date: str
    region: str
    by_name: dict[str, float]

    @staticmethod
    def load(path: Path = SHIPPED) -> "Prices":
        """Return the prices in a file. Raises OSError, ValueError (the file isn't TOML) or KeyError
        (a price is missing)."""
        found = tomllib.loads(path.read_text())
        shipped = tomllib.loads(SHIPPED.read_text())["prices"]
        prices = {name: float(found["prices"][name]) for name in shipped}
        return Prices(str(found["date"]), str(found["region"]), prices)


@dataclass(frozen=True)
class Workload:
    """A month of similar jobs.

    `seconds` is the duration of the work over all invocations of one attempt. Shares are from 0 to
    1.
    """

    jobs: float
    seconds: float
    memory_mb: int = 1024
    architecture: Literal["arm64", "x86_64"] = "arm64"
    invocations: int = 1
    checkpoints: float = 0
    steps: float = 0  # per job, with small results
    payload_bytes: int = 100  # compressed
    retried: float = 0  # share of jobs that are retried once
    limited: Limited = None  # the limits of the jobs' queue
    waiting: float = 0  # share of jobs that wait in a line
    quota: bool = False  # whether there is a quota of unfinished jobs
    unique: bool = False  # whether the jobs are unique
    recurring: bool = False  # whether schedules dispatch the jobs; then set over_http=False too
    over_http: bool = True  # whether HTTP requests dispatch the jobs
    types: int = 1  # number of job types
    retention_days: float = 30

    @property
    def row_kb(self) -> int:
        """The size of a job's row in KB, which is also the number of write units of one write."""
        in_row = self.payload_bytes if self.payload_bytes <= _LONGEST_IN_ROW else 0
        return math.ceil((_ROW_BYTES + in_row) / 1024)

    @property
    def write_units(self) -> float:
        """The write units of one job, from its dispatch to its end."""
        row = self.row_kb
        save, claim, finish, requeue, check = row + 2, row, row + 1, row + 2, row + 2
        units: float = save + claim + finish
        units += (self.invocations - 1) * (requeue + claim)
        units += self.checkpoints * row + self.steps
        units += self.timer_checks * check
        units += self.retried * (requeue + claim + 3 * _ERROR_KB)
        units += 2 if self.quota else 0
        units += row if self.unique or self.recurring else 0  # the row is saved in a transaction
        units += _MOVE_UNITS if self.recurring else 0
        units += self._unique_units
        immediate, waited = _LIMIT_UNITS[self.limited]
        return units + immediate + (waited - immediate) * self.waiting

    @property
    def _unique_units(self) -> float:
        """The write units of a unique key, which is created with its job and released when the job
        ends."""
        if not self.unique:
            return 0
        # Releasing the key makes the job's last write a transaction, which costs twice as much. In
        # a queue with slots, the last write is a transaction anyway.
        adds_transaction = self.limited not in ("slots", "both")
        idempotency_keys = 1 if self.over_http else 0
        return (2 + idempotency_keys) * _RECORD_UNITS + (self.row_kb if adds_transaction else 0)

    @property
    def timer_checks(self) -> float:
        """How often the timer checks one job: once for each invocation that takes over a minute.

        Checks of jobs that wait over a minute for a worker are not included.
        """
        return self.invocations if self.seconds / self.invocations > _CHECK_AFTER else 0

    @property
    def read_units(self) -> float:
        """The read units of one job."""
        queue_reads = 0 if self.limited is None else 2 + 2 * self.waiting
        schedule = 2 if self.recurring else 0  # the schedule and the job of its last occurrence
        # Each invocation and attempt looks for them.
        steps = self.steps * (self.invocations + self.retried)
        return self.timer_checks + queue_reads + (1 if self.unique else 0) + schedule + steps

    @property
    def worker_invocations(self) -> float:
        """The number of worker invocations of one job."""
        after_a_wait = self.waiting if self.limited else 0
        return self.invocations + self.retried + after_a_wait

    @property
    def in_bucket(self) -> bool:
        """Whether the payload is too large for the row."""
        return self.payload_bytes > _LONGEST_IN_ROW

    @property
    def gb_seconds(self) -> float:
        """The GB-seconds of the worker for one job."""
        busy = self.seconds * (1 + self.retried) + _OVERHEAD_SECONDS * self.worker_invocations
        return busy * self.memory_mb / 1024

    @property
    def busy_workers(self) -> float:
        """The average number of busy workers, if the jobs are spread evenly."""
        return self.jobs / MONTH_SECONDS * self.gb_seconds * 1024 / self.memory_mb


@dataclass(frozen=True)
class Line:
    """One line of the bill: a quantity, and the name of its price in `Prices.by_name`."""

    what: str
    quantity: float
    price: str
    formula: str

    def dollars(self, prices: Prices) -> float:
        """Return the cost of the line."""
        return self.quantity * prices.by_name[self.price]


def bill(work: Workload) -> list[Line]:
    """Return the monthly usage of this work, with the formula of each quantity."""
    return [line for line in (*_job_lines(work), *_stack_lines(work)) if line.quantity]


def _job_lines(work: Workload) -> Iterator[Line]:
    jobs = work.jobs
    calls = jobs if work.over_http else 0
    yield Line("API requests", calls, "api_request", "1 a job")
    yield Line("API invocations", calls, "lambda_request", "1 a job")
    yield Line(
        "API compute, GB-s",
        calls * _API_SECONDS,
        "lambda_gb_second_arm64" if work.architecture == "arm64" else "lambda_gb_second_x86_64",
        f"{_API_SECONDS:g} s x 1 GB",
    )
    yield Line(
        "worker invocations",
        jobs * work.worker_invocations,
        "lambda_request",
        f"{work.worker_invocations:g} a job: invocations, retries, starts after a wait",
    )
    yield Line(
        "worker compute, GB-s",
        jobs * work.gb_seconds,
        "lambda_gb_second_arm64" if work.architecture == "arm64" else "lambda_gb_second_x86_64",
        f"({work.seconds:g} s + {_OVERHEAD_SECONDS:g} s an invocation) x "
        f"{work.memory_mb / 1024:g} GB",
    )
    yield Line(
        "write units",
        jobs * work.write_units,
        "write_unit",
        f"{work.write_units:g} a job, for a row of {work.row_kb} KB",
    )
    reads = work.read_units
    yield Line("read units", jobs * reads, "read_unit", f"{reads:g} a job")
    yield Line("delayed messages", 3 * jobs * work.retried, "queue_request", "3 calls a retry")
    large = jobs if work.in_bucket else 0
    yield Line("large payloads, written", large, "object_put", "1 a job")
    yield Line(
        "large payloads, read",
        large * (work.invocations + work.retried),
        "object_get",
        "1 an invocation",
    )
    months_kept = work.retention_days / 30
    yield Line(
        "payloads kept, GB-months",
        large * work.payload_bytes / _GB * months_kept,
        "object_gb_month",
        f"{work.retention_days:g} days",
    )
    in_row = 0 if work.in_bucket else work.payload_bytes
    row_gb_months = jobs * (_ROW_BYTES + _INDEX_ENTRY_BYTES + in_row) / _GB * months_kept
    yield Line(
        "rows kept, GB-months", row_gb_months, "table_gb_month", f"{work.retention_days:g} days"
    )
    yield Line("rows in backups, GB-months", row_gb_months, "backup_gb_month", "the same")
    steps_gb_months = jobs * work.steps * _STEP_BYTES / _GB * _STEP_DAYS / 30
    yield Line(
        "steps kept, GB-months",
        steps_gb_months,
        "table_gb_month",
        f"{work.steps:g} a job, {_STEP_DAYS} days",
    )
    yield Line("steps in backups, GB-months", steps_gb_months, "backup_gb_month", "the same")
    log_bytes = calls * _LOG_BYTES["API"] + jobs * work.worker_invocations * _LOG_BYTES["worker"]
    yield Line(
        "logs and metrics, GB",
        log_bytes / _GB,
        "log_gb",
        f"{_LOG_BYTES['API']} bytes a request, {_LOG_BYTES['worker']} an invocation",
    )
    traces = _TRACED_SHARE * (calls * 2 + jobs * work.worker_invocations)
    yield Line("traces", traces, "trace", f"{_TRACED_SHARE:.0%} of requests and invocations")


def _stack_lines(work: Workload) -> Iterator[Line]:
    """Yield the fixed costs of a stack."""
    yield Line("timer, invocations", _TIMER_RUNS, "lambda_request", "1 a minute")
    yield Line(
        "timer, GB-s", _TIMER_RUNS * _TIMER_SECONDS, "lambda_gb_second_arm64", "0.5 s x 1 GB"
    )
    yield Line(
        "timer, read units", _TIMER_RUNS * _TIMER_READS, "read_unit", f"{_TIMER_READS} a run"
    )
    yield Line("alarms", _ALARMS, "alarm_month", "each")
    per_type, per_stack = _METRICS["job type"], _METRICS["stack"]
    yield Line(
        "metrics",
        per_stack + per_type * work.types,
        "metric_month",
        f"{per_stack} for the stack, {per_type} for each job type",
    )
