"""Read the parameters in samconfig.toml that affect what the code does.

The local AWS, the check of a build and the tests of your own code use them too.
"""

import tomllib

from job_runners.building.app_config import CONFIG, read_workers
from job_runners.building.app_stack import override_values
from job_runners.building.target import ROOT

# The template's parameters, and the environment variables in which functions get them.
_VARIABLES = {
    "RetentionDays": "RETENTION_DAYS",
    "MaxUnfinishedJobs": "MAX_UNFINISHED_JOBS",
    "LogPayloads": "LOG_PAYLOADS",
    "KeepTaskPayloads": "KEEP_TASK_PAYLOADS",
    "LogLevel": "POWERTOOLS_LOG_LEVEL",
}
# Parameters that the local stack also needs, but tests and builds don't.
_ONLY_FOR_STACKS = ("JobRunner", "WorkerTimeout", "WebhookSubscriptions")


def work_parameters() -> dict[str, str]:
    """Return the parameters in samconfig.toml, by their names in the template."""
    try:
        given = override_values(tomllib.loads((ROOT / "samconfig.toml").read_text()))
    except FileNotFoundError:
        given = {}
    known = (*_VARIABLES, *_ONLY_FOR_STACKS)
    # sam accepts no empty value
    return {name: value for name, value in given.items() if name in known and value}


def work_variables() -> dict[str, str]:
    """Return the same parameters as environment variables of the functions, and the names of the
    worker classes. Raises UnusableAppFolder for an app.toml that can't be used."""
    found = work_parameters()
    given = {_VARIABLES[name]: value for name, value in found.items() if name in _VARIABLES}
    return given | {"WORKER_CLASSES": ",".join(read_workers(ROOT / CONFIG))}
