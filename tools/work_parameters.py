"""The parameters of samconfig.toml that are about the work of a stack, and not about an account.

The local AWS, the check of a build and the tests of your own work follow them too.
"""

import tomllib

import settings
from tools.app_stack import overrides
from tools.target import ROOT

# A parameter of the template, and the variable by which functions get it.
_VARIABLES = {
    "TextingCampaign": "TEXTING_CAMPAIGN",
    "Extensions": "EXTENSIONS",
    "RetentionDays": "RETENTION_DAYS",
    "MaxUnfinishedJobs": "MAX_UNFINISHED_JOBS",
    "LogPayloads": "LOG_PAYLOADS",
    "KeepTaskPayloads": "KEEP_TASK_PAYLOADS",
    "LogLevel": "POWERTOOLS_LOG_LEVEL",
    "TextCountries": "TEXT_COUNTRIES",
    "TextNumberTypes": "TEXT_NUMBER_TYPES",
}
_OF_THE_STACK_ALONE = ("JobRunner", "WorkerTimeout")


def work_parameters() -> dict[str, str]:
    """Return those that samconfig.toml gives, by their names in the template. EXTENSIONS in the
    environment comes before Extensions there."""
    try:
        said = overrides(tomllib.loads((ROOT / "samconfig.toml").read_text()))
    except FileNotFoundError:
        said = []
    pairs = [each.partition("=") for each in said]
    known = (*_VARIABLES, *_OF_THE_STACK_ALONE)
    found = {name: value.strip('"') for name, _, value in pairs if name in known}
    found = {name: value for name, value in found.items() if value}  # sam takes no empty one
    extensions = ",".join(settings.settings().extensions)
    return found | ({"Extensions": extensions} if extensions else {})


def work_variables() -> dict[str, str]:
    """Return the same as the environment of functions has them."""
    found = work_parameters()
    return {_VARIABLES[name]: value for name, value in found.items() if name in _VARIABLES}
