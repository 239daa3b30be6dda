"""Decide whether a measurement exceeds its bound."""


def exceeds(bound: float, cpu: float, instructions: float | None) -> bool:
    """Return whether our share of a peer's cost exceeds a bound.

    The share of CPU must exceed the bound. If instructions were counted, so must their share. CPU
    alone isn't enough, because it also depends on caches and on other programs. Those differ
    between runs, and between this machine and Lambda.
    """
    return cpu > bound and (instructions is None or instructions > bound)
