"""Answers of the API about a job with children, log lines and a long timeline."""

from typing import Any

from faked_answers import JOB

PARENT = "b" * 32
EARLIER = [
    {"attempt": 3, "at": "2026-11-24T12:01:00Z", "kind": "Timeout", "message": "too slow"},
    {"attempt": 1, "at": "2026-11-24T12:11:00Z", "kind": "Refused", "message": "the first"},
    {"attempt": 2, "at": "2026-11-24T12:20:00Z", "kind": "Refused", "message": "the second"},
]
CHILDREN = {
    "children": [
        {"key": "import may.csv", "group": None, "id": "c" * 32, "job": {**JOB, "id": "c" * 32}},
        {"key": "june.csv", "group": "import", "id": "d" * 32, "job": None},
    ],
    "cursor": None,
}
LINES = [
    {
        "level": "INFO",
        "message": "claimed",
        "invocation": 1,
        "exception": None,
        "more": {"wait_ms": "8"},
    },
    {
        "level": "ERROR",
        "message": "failed",
        "invocation": 2,
        "exception": "Traceback: x",
        "more": {},
    },
]
LOG = {
    "lines": [{**each, "time": "2026-11-24T12:10:01.250Z", "attempt": 3} for each in LINES],
    "complete": False,
}
NOTHING = dict.fromkeys(
    ("name", "claim", "attempt", "run", "ready_at", "until", "ended_at", "outcome", "error", "by")
) | {"id": None}


def at(second: float) -> str:
    """Return the time so long after the job was created."""
    minutes, rest = divmod(second, 60)
    hours, minutes = divmod(int(minutes), 60)
    days, hours = divmod(hours + 12, 24)
    return f"2026-11-{24 + days}T{hours:02}:{minutes:02}:{rest:06.3f}Z"


def invocation(claim: int, attempt: int, began: float, ended: float | None, **more: Any) -> Any:
    """Return an invocation that waited 0.4 s for a worker."""
    times = {"ready_at": at(began - 0.4), "began_at": at(began), "ended_at": ended and at(ended)}
    run = {"kind": "invocation", "claim": claim, "attempt": attempt, "run": 1}
    return NOTHING | run | times | more


def record(kind: str, name: str, claim: int, began: float, ended: float | None, **more: Any) -> Any:
    """Return a record that began in an invocation."""
    times = {"began_at": at(began), "ended_at": None if ended is None else at(ended)}
    outcome = None if ended is None else "done"
    return NOTHING | {"kind": kind, "name": name, "claim": claim, "outcome": outcome} | times | more


DAYS = 3 * 86_400
RECORDS = [
    invocation(1, 1, 2, 6, outcome="waited"),
    record("step", "fetch", 1, 2, 3.2),
    *(
        record("step", f"print {each}", 1, 3.2 + each / 400, 3.2 + each / 400)
        for each in range(998)
    ),
    record("signal", "approval", 1, 6, DAYS, outcome="answered", by="operator:ada"),
    invocation(2, 1, DAYS + 1, DAYS + 2, outcome="failed", error="ConnectionError", name="charge"),
    invocation(3, 2, DAYS + 9, None),
    record("step", "charge", 3, DAYS + 9, DAYS + 10),
]
ACTS = [{"at": at(0), "what": "dispatched", "by": "operator:bob"}]
