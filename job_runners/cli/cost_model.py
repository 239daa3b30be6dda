"""What a month of jobs costs on AWS: how much is used of what, times its price.

The counts of requests and units are those that the tests of the engine count; a test holds this
model to them. What depends on the work, its seconds above all, is for the caller to say.
"""

import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SHIPPED = Path(__file__).with_name("prices.toml")

MONTH_SECONDS = 30 * 24 * 3600
LONGEST_LEG = 1800  # seconds: Lambda's maximum, and that of the parameter WorkerTimeout
_GB = 1e9
_ROW = 900  # bytes of a typical row without its payload, with what it ends with
_ENTRY = 200  # of the index that lists an organisation's jobs, which it keeps to its end
_IN_ROW = 4096  # bytes of a compressed payload that a row takes, see store.blobs
_ERROR_KB = 1  # by which the error of an attempt that failed makes a row larger
_LOOK = 60  # seconds: a leg that takes longer is looked at by the timer once
_API_SECONDS = 0.03  # that the API's function takes for a dispatch, at 1 GB
_OVERHEAD_SECONDS = 0.05  # of the worker, around the work
_LOG_BYTES = {"API": 2000, "worker": 2000}  # of an invocation, with Lambda's own lines and metrics
_TRACED = 0.05  # of requests: X-Ray's default, beside the first of each second
_TICKS = MONTH_SECONDS / 60
_TICK_SECONDS = 0.5
_TICK_READS = 24  # 48 shards that are asked, half a unit each
_ALARMS = 13
_METRICS = {"job type": 4, "stack": 4}  # QueueWait, RunTime, Succeeded, some others now and then
# Write units beyond those of a job without limits: where it need not wait, and where it did.
_LIMITS = {None: (0, 0), "slots": (6, 17), "rate": (3, 15), "both": (8, 20)}
_RECORD = 2  # write units of a small item in a transaction: of a piece of work, or of its key
_MOVE = 4  # of a schedule to its next occurrence, in a transaction and an index

Limited = Literal["slots", "rate", "both"] | None


@dataclass(frozen=True)
class Prices:
    """Dollars for one of each thing, as they were on a day in a region."""

    date: str
    region: str
    of: dict[str, float]

    @staticmethod
    def load(path: Path = SHIPPED) -> "Prices":
        """Return the prices of a file. Raises OSError, ValueError (not TOML) or KeyError, if one
        is missing."""
        found = tomllib.loads(path.read_text())
        shipped = tomllib.loads(SHIPPED.read_text())["prices"]
        prices = {name: float(found["prices"][name]) for name in shipped}
        return Prices(str(found["date"]), str(found["region"]), prices)


@dataclass(frozen=True)
class Workload:
    """A month of jobs that are alike. Seconds are of the work, over all legs of one attempt; the
    payload's bytes are compressed; shares are from 0 to 1."""

    jobs: float
    seconds: float
    memory_mb: int = 1024
    architecture: Literal["arm64", "x86_64"] = "arm64"
    legs: int = 1
    checkpoints: float = 0
    payload_bytes: int = 100
    retried: float = 0  # the share that is tried once more
    limited: Limited = None  # what limits its queue
    waiting: float = 0  # the share that has to wait in its line
    quota: bool = False  # whether there is one of unfinished jobs
    unique: bool = False  # whether no second one does the same work beside the first
    recurring: bool = False  # whether schedules dispatch them, and no request does
    over_http: bool = True
    types: int = 1  # of job
    retention_days: float = 30

    @property
    def row_kb(self) -> int:
        """Return the write units of one write of its row."""
        in_row = self.payload_bytes if self.payload_bytes <= _IN_ROW else 0
        return math.ceil((_ROW + in_row) / 1024)

    @property
    def write_units(self) -> float:
        """Return those of one job, from its dispatch to its end."""
        row = self.row_kb
        save, claim, finish, hand_on, look = row + 2, row, row + 1, row + 2, row + 2
        units: float = save + claim + finish
        units += (self.legs - 1) * (hand_on + claim)
        units += self.checkpoints * row
        units += self.looks * look
        units += self.retried * (hand_on + claim + 3 * _ERROR_KB)
        units += 2 if self.quota else 0
        units += row if self.unique or self.recurring else 0  # it is saved in a transaction
        units += _MOVE if self.recurring else 0
        units += self._of_unique
        at_once, waited = _LIMITS[self.limited]
        return units + at_once + (waited - at_once) * self.waiting

    @property
    def _of_unique(self) -> float:
        """The write units of the record of a piece of work: made and given up with its job."""
        if not self.unique:
            return 0
        ends_alone = self.limited not in ("slots", "both")  # and not in a transaction as it is
        with_key = self.over_http  # requests have an idempotency key, which is kept beside it
        return (2 + with_key) * _RECORD + (self.row_kb if ends_alone else 0)

    @property
    def looks(self) -> float:
        """Return how many looks of the timer one job is given: one for each leg of over a minute,
        and one for its first if it has to wait that long for a worker, which is not counted."""
        return self.legs if self.seconds / self.legs > _LOOK else 0

    @property
    def read_units(self) -> float:
        """Return those of one job."""
        lines = 0 if self.limited is None else 2 + 2 * self.waiting
        schedule = 2 if self.recurring else 0  # itself, and the job of the occurrence before
        return self.looks + lines + (1 if self.unique else 0) + schedule

    @property
    def invocations(self) -> float:
        """Return how often the worker is called for one job."""
        waits = self.waiting if self.limited else 0
        return self.legs + self.retried + waits

    @property
    def in_bucket(self) -> bool:
        """Return whether its payload is too large for its row."""
        return self.payload_bytes > _IN_ROW

    @property
    def gb_seconds(self) -> float:
        """Return those of the worker, for one job."""
        busy = self.seconds * (1 + self.retried) + _OVERHEAD_SECONDS * self.invocations
        return busy * self.memory_mb / 1024

    @property
    def at_once(self) -> float:
        """Return how many workers are busy at any time, if the jobs come evenly."""
        return self.jobs / MONTH_SECONDS * self.gb_seconds * 1024 / self.memory_mb


@dataclass(frozen=True)
class Line:
    """One line of the bill: `quantity` of a thing, which has a price in `Prices`."""

    what: str
    quantity: float
    price: str
    formula: str

    def dollars(self, prices: Prices) -> float:
        """Return what it costs."""
        return self.quantity * prices.of[self.price]


def bill(work: Workload) -> list[Line]:
    """Return what a month of this work uses, with how each quantity comes about."""
    return [line for line in (*_of_jobs(work), *_of_stack(work)) if line.quantity]


def _of_jobs(work: Workload) -> Iterator[Line]:
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
        jobs * work.invocations,
        "lambda_request",
        f"{work.invocations:g} a job: legs, retries, starts after a wait",
    )
    yield Line(
        "worker compute, GB-s",
        jobs * work.gb_seconds,
        "lambda_gb_second_arm64" if work.architecture == "arm64" else "lambda_gb_second_x86_64",
        f"({work.seconds:g} s and {_OVERHEAD_SECONDS:g} s an invocation) x "
        f"{work.memory_mb / 1024:g} GB",
    )
    yield Line(
        "write units",
        jobs * work.write_units,
        "write_unit",
        f"{work.write_units:g} a job, of a row of {work.row_kb} KB",
    )
    reads = work.read_units
    yield Line("read units", jobs * reads, "read_unit", f"{reads:g} a job")
    yield Line("delayed messages", 3 * jobs * work.retried, "queue_request", "3 calls a retry")
    large = jobs if work.in_bucket else 0
    yield Line("large payloads, written", large, "object_put", "1 a job")
    yield Line(
        "large payloads, read",
        large * (work.legs + work.retried),
        "object_get",
        "1 an invocation",
    )
    kept = work.retention_days / 30
    yield Line(
        "payloads kept, GB-months",
        large * work.payload_bytes / _GB * kept,
        "object_gb_month",
        f"{work.retention_days:g} days",
    )
    in_row = 0 if work.in_bucket else work.payload_bytes
    rows = jobs * (_ROW + _ENTRY + in_row) / _GB * kept
    yield Line("rows kept, GB-months", rows, "table_gb_month", f"{work.retention_days:g} days")
    yield Line("rows in backups, GB-months", rows, "backup_gb_month", "the same")
    logged = calls * _LOG_BYTES["API"] + jobs * work.invocations * _LOG_BYTES["worker"]
    yield Line(
        "logs and metrics, GB",
        logged / _GB,
        "log_gb",
        f"{_LOG_BYTES['API']} bytes a request, {_LOG_BYTES['worker']} an invocation",
    )
    traced = _TRACED * (calls * 2 + jobs * work.invocations)
    yield Line("traces", traced, "trace", f"{_TRACED:.0%} of requests and invocations")


def _of_stack(work: Workload) -> Iterator[Line]:
    """Yield what a stack costs however much it has to do."""
    yield Line("timer, invocations", _TICKS, "lambda_request", "1 a minute")
    yield Line("timer, GB-s", _TICKS * _TICK_SECONDS, "lambda_gb_second_arm64", "0.5 s x 1 GB")
    yield Line("timer, read units", _TICKS * _TICK_READS, "read_unit", f"{_TICK_READS} a tick")
    yield Line("alarms", _ALARMS, "alarm_month", "each")
    of_type, of_stack = _METRICS["job type"], _METRICS["stack"]
    yield Line(
        "metrics",
        of_stack + of_type * work.types,
        "metric_month",
        f"{of_stack} of the stack, {of_type} of a job type",
    )
