"""What the simulated Lambda says once the code under test is broken."""

from collections.abc import Set

from histories.faults import OFF, Fault
from histories.history import play_seed
from histories.invariant_checker import Violation

BROKEN_WITHIN = 1000  # histories, one of which must notice that a safeguard is gone
FAR = 10  # histories from `near`, at most: a test that starts further away takes long


def broken_promise(*, counted: str | None = None, near: int = 0, faults: Set[Fault] = OFF) -> str:
    """Return what the first history that breaks a promise says, one where something is `counted` if
    that is asked for; fails if there is none.

    They are looked at from seed `near` on, where one was found when the test was written: for a
    safeguard that few histories need. Only the `faults` that it is for are on.
    """
    for seed in range(near, near + BROKEN_WITHIN):
        try:
            play_seed(seed, faults)
        except Violation as violation:
            if counted is None or violation.figures[counted]:
                assert seed <= near + FAR, f"start at near={seed}, not at {near}"
                return str(violation)
    raise AssertionError(f"none of {BROKEN_WITHIN} histories noticed")
