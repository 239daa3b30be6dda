"""The options of `run`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """What `run` was asked for."""

    keep: bool
    workers: int
    creates: str  # "auto", "fork" or "spawn"
    import_seconds: float
    addresses: tuple[str, ...]
