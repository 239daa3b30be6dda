"""When what was measured is above a bound."""


def exceeds(bound: float, cpu: float, instructions: float | None) -> bool:
    """Return whether our share of a peer's cost is above a bound: in CPU, and in instructions too
    where they were counted.

    CPU alone also tells how well the machine's caches hold the code, and what else they have to
    hold: that differs from run to run, and is not Lambda's.
    """
    return cpu > bound and (instructions is None or instructions > bound)
