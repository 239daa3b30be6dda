"""The options of `job-runners run`."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Options:
    """The options. job_runners/cli/commands/run.py has parameters of the same names."""

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
        options: dict[str, Any] = json.loads(text)
        parameters = {}
        for parameter in options.pop("parameters"):
            name, equals, value = parameter.partition("=")
            if not equals:
                raise LocalProblem(f"--parameter {name} has no value. Pass NAME=VALUE.")
            parameters[name] = value
        return Options(parameters=parameters, **options)


class LocalProblem(Exception):
    """The local AWS can't do this. The message says why, and what to do."""
