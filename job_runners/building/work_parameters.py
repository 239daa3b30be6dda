"""Read the template parameters in samconfig.toml that change how the functions' code behaves.

The local AWS, the import check of a build and the tests of your own code also apply them.
"""

import tomllib

from job_runners.building.app_folder import CONFIG, read_workers
from job_runners.building.app_stack import override_values
from job_runners.building.target import ROOT

# The environment variables in which functions get the template's parameters.
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
        values = override_values(tomllib.loads((ROOT / "samconfig.toml").read_text()))
    except FileNotFoundError:
        return {}
    names = (*_VARIABLES, *_ONLY_FOR_STACKS)
    # sam accepts no empty values
    return {name: value for name, value in values.items() if name in names and value}


def work_variables() -> dict[str, str]:
    """Return the functions' environment variables for these parameters and the worker classes.

    Raises UnusableAppFolder if app.toml can't be used.
    """
    variables = {"WORKER_CLASSES": ",".join(read_workers(ROOT / CONFIG))}
    for name, value in work_parameters().items():
        if name in _VARIABLES:
            variables[_VARIABLES[name]] = value
    return variables
