"""Decide whether a measurement exceeds its bound."""


def exceeds(bound: float, cpu: float, instructions: float | None) -> bool:
    """Return whether our share of a peer's cost exceeds a bound.

    It must exceed it in CPU and, if instructions were counted, in instructions too. CPU alone isn't
    enough, because it also depends on this machine's caches and its other programs. These differ
    from run to run, and from Lambda.
    """
    return cpu > bound and (instructions is None or instructions > bound)
