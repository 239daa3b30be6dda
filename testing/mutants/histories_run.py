"""Plays histories in the process it is called in, until one notices."""


def noticed_by_history(count: int) -> str | None:
    """Return what the first history says that breaks a promise, or stops in an error; None if none
    does.

    Imported only now: what is under test is the copy that this process works on.
    """
    if not count:
        return None
    from testing.simulation.history import play_seed, stage
    from testing.simulation.invariant_checker import Violation

    with stage():
        for seed in range(count):
            try:
                play_seed(seed)
            except Violation as violation:
                return f"history {seed}: {str(violation).splitlines()[0]}"
            except Exception as error:  # noqa: BLE001 - a mutation may break anything
                return f"history {seed}: {type(error).__name__}: {error}"
    return None
