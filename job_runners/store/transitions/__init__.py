"""The transitions: each changes a job's row in a certain way, with a conditional write.

Only this package and `job_runners.store.caller_transitions` change rows of jobs.

| file | transitions |
|---|---|
| `saving` | save |
| `claiming` | claim; checkpoint and renew, while the job runs |
| `ending` | end an invocation: succeed, fail, stop, retry, end_invocation, release |
| `waits`, `group_waits` | wait in the job's function; imported only where they are needed |
| `replacing` | replace, for unique work; imported only where it is needed |
| `holding` | hold, hold_in_line, admit, restore_entry: for pauses and for queues with limits |
| `checking` | expire, postpone, set_aside, for rows that the timer finds due |
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from job_runners.store.transitions.checking import expire, postpone, set_aside
    from job_runners.store.transitions.claiming import (
        CLAIM_TOLERANCE,
        SKEW,
        Entrance,
        checkpoint,
        claim,
        renew,
    )
    from job_runners.store.transitions.ending import (
        Checkpoint,
        end_invocation,
        fail,
        release,
        retry,
        stop,
        succeed,
    )
    from job_runners.store.transitions.holding import admit, hold, hold_in_line, restore_entry
    from job_runners.store.transitions.saving import NewJob, save

__all__ = [
    "CLAIM_TOLERANCE",
    "SKEW",
    "Checkpoint",
    "Entrance",
    "NewJob",
    "admit",
    "checkpoint",
    "claim",
    "end_invocation",
    "expire",
    "fail",
    "hold",
    "hold_in_line",
    "postpone",
    "release",
    "renew",
    "restore_entry",
    "retry",
    "save",
    "set_aside",
    "stop",
    "succeed",
]

# A process imports only the modules of the transitions that it uses.
_MODULES = {
    **dict.fromkeys(("expire", "postpone", "set_aside"), "checking"),
    **dict.fromkeys(
        ("CLAIM_TOLERANCE", "SKEW", "Entrance", "checkpoint", "claim", "renew"), "claiming"
    ),
    **dict.fromkeys(
        ("Checkpoint", "end_invocation", "fail", "release", "retry", "stop", "succeed"), "ending"
    ),
    **dict.fromkeys(("admit", "hold", "hold_in_line", "restore_entry"), "holding"),
    **dict.fromkeys(("NewJob", "save"), "saving"),
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value  # Python calls __getattr__ only for names that the module lacks
    return value
