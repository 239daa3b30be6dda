"""Play histories in the current process until one notices a mutation."""


def noticed_by_history(count: int) -> str | None:
    """Return the first broken promise or error of a history, or None if all histories go well.

    The imports are here because they must come from the copy that this process tests.
    """
    if not count:
        return None
    from histories.history import play_seed, simulated_aws
    from histories.invariant_checker import Violation

    with simulated_aws():
        for seed in range(count):
            try:
                play_seed(seed)
            except Violation as violation:
                return f"history {seed}: {str(violation).splitlines()[0]}"
            except Exception as error:  # noqa: BLE001 - a mutation may break anything
                return f"history {seed}: {type(error).__name__}: {error}"
    return None
