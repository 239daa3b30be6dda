"""The options of `job-runners run`."""

import json
from dataclasses import dataclass
from typing import Any

from job_runners.local.problem import LocalProblem


@dataclass(frozen=True)
class Options:
    """The options, by the names of their parameters in job_runners/cli/commands/run.py."""

    keep: bool
    quiet: bool
    listen: str | None
    workers: int
    parameters: dict[str, str]
    loopback_webhooks: bool
    processes: str  # "auto", "fork" or "spawn"
    import_seconds: float

    @staticmethod
    def read(text: str) -> "Options":
        """Return the options that the command has passed as JSON. Raises LocalProblem."""
        given: dict[str, Any] = json.loads(text)
        pairs = [each.partition("=") for each in given.pop("parameters")]
        for name, equals, _ in pairs:
            if not equals:
                raise LocalProblem(f"--parameter {name} has no value. Pass NAME=VALUE.")
        return Options(parameters={name: value for name, _, value in pairs}, **given)
