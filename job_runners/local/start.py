"""Start template processes, which import the project's code and create the functions' processes."""

import os
from pathlib import Path

from job_runners.local.function_pools import TemplateProcess
from job_runners.local.function_settings import FunctionSettings
from job_runners.local.options import Options
from job_runners.local.run_folder import Credentials
from job_runners.places import variables


class TemplateLauncher:
    """Starts template processes: one for the first import, and one for each change of the code."""

    def __init__(
        self,
        settings: FunctionSettings,
        credentials: Credentials,
        options: Options,
        folder: Path,
        home: Path,
    ) -> None:
        """Prepare the environments of the processes.

        They run in `folder`, and write temporary files only below `home`.
        """
        self._options, self._folder = options, folder
        by_function = {
            function: settings.environment(function) | settings.lambda_environment(function)
            for function in settings.functions
        }
        # The import runs with the variables of all functions. A function's process then gets the
        # values of its function. A variable that this function lacks is None, and is removed.
        all_variables: dict[str, str] = {}
        for environment in by_function.values():
            all_variables |= environment
        self._environments = {
            function: {name: environment.get(name) for name in all_variables}
            for function, environment in by_function.items()
        }
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("AWS_")
        }
        # As in a build, no module can read the app settings when it is imported.
        del all_variables["APP_SETTINGS_PATH"]
        temporary = home / "tmp"
        temporary.mkdir()
        local = {"TMPDIR": str(temporary), "WORKER_CLASSES": ",".join(settings.workers)}
        if options.loopback_webhooks:
            local["LOOPBACK_WEBHOOKS"] = "true"
        self._environment = inherited | variables() | local | credentials.variables | all_variables

    def launch(self) -> TemplateProcess:
        """Start importing the code as it is now."""
        start = {
            "environments": self._environments,
            "creates": self._options.processes,
            "import_seconds": self._options.import_seconds,
        }
        return TemplateProcess(start, self._environment, str(self._folder))
