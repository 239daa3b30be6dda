"""Decide whether a measurement exceeds its bound."""


def exceeds(bound: float, cpu: float, instructions: float | None) -> bool:
    """Return whether our cost, divided by a peer's, exceeds a bound.

    `cpu` is the ratio of CPU, and `instructions` the ratio of instructions, if they were counted.
    Both must exceed the bound. CPU alone isn't enough, because it also depends on caches and on
    other programs. Those differ between runs, and between this machine and Lambda.
    """
    return cpu > bound and (instructions is None or instructions > bound)
