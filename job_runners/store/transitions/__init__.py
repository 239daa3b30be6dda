"""The transitions: each changes a job's row in one way, with a conditional write.

Only this package and `job_runners.store.caller_transitions` change the rows of jobs.

| file | transitions |
|---|---|
| `saving` | save |
| `claiming` | claim; checkpoint and renew, while the job runs |
| `ending` | end an invocation: succeed, fail, stop, retry, end_invocation, release |
| `waits`, `group_waits` | waits of the job's function; imported only where they are needed |
| `replacing` | replace, for unique work; imported only where it is needed |
| `holding` | hold, hold_in_line, admit, restore_entry: for pauses, and queues with limits |
| `checking` | expire, postpone, set_aside: for rows that the timer function finds due |
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from job_runners.store.transitions.checking import expire as expire
    from job_runners.store.transitions.checking import postpone as postpone
    from job_runners.store.transitions.checking import set_aside as set_aside
    from job_runners.store.transitions.claiming import CLAIM_TOLERANCE as CLAIM_TOLERANCE
    from job_runners.store.transitions.claiming import SKEW as SKEW
    from job_runners.store.transitions.claiming import Entrance as Entrance
    from job_runners.store.transitions.claiming import checkpoint as checkpoint
    from job_runners.store.transitions.claiming import claim as claim
    from job_runners.store.transitions.claiming import renew as renew
    from job_runners.store.transitions.ending import Checkpoint as Checkpoint
    from job_runners.store.transitions.ending import end_invocation as end_invocation
    from job_runners.store.transitions.ending import fail as fail
    from job_runners.store.transitions.ending import release as release
    from job_runners.store.transitions.ending import retry as retry
    from job_runners.store.transitions.ending import stop as stop
    from job_runners.store.transitions.ending import succeed as succeed
    from job_runners.store.transitions.holding import admit as admit
    from job_runners.store.transitions.holding import hold as hold
    from job_runners.store.transitions.holding import hold_in_line as hold_in_line
    from job_runners.store.transitions.holding import restore_entry as restore_entry
    from job_runners.store.transitions.saving import NewJob as NewJob
    from job_runners.store.transitions.saving import save as save

# A process imports only the modules of the transitions that it uses.
_NAMES = {
    "checking": ("expire", "postpone", "set_aside"),
    "claiming": ("CLAIM_TOLERANCE", "SKEW", "Entrance", "checkpoint", "claim", "renew"),
    "ending": ("Checkpoint", "end_invocation", "fail", "release", "retry", "stop", "succeed"),
    "holding": ("admit", "hold", "hold_in_line", "restore_entry"),
    "saving": ("NewJob", "save"),
}


def __getattr__(name: str) -> Any:
    for module, names in _NAMES.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = value  # so that Python finds it without this function
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
