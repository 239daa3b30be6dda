"""Start template processes."""

import os
from pathlib import Path

from job_runners.local.credentials import Credentials
from job_runners.local.function_pools import Template
from job_runners.local.function_settings import FunctionSettings
from job_runners.local.options import Options
from job_runners.places import variables


class Start:
    """Starts template processes, the first one before the event loop runs."""

    def __init__(
        self,
        settings: FunctionSettings,
        credentials: Credentials,
        options: Options,
        folder: Path,
        home: Path,
    ) -> None:
        """Prepare the environments of functions that start in `folder`.

        They write temporary files only below `home`.
        """
        self._options, self._folder = options, folder
        own = {
            name: settings.environment(name) | settings.lambda_environment(name)
            for name in settings.functions
        }
        every = {name: value for each in own.values() for name, value in each.items()}
        self._environments = {
            function: {name: each.get(name) for name in every} for function, each in own.items()
        }
        inherited = {n: v for n, v in os.environ.items() if not n.startswith("AWS_")}
        # As in a build, no module can read the app settings when it is imported.
        every.pop("APP_SETTINGS_PATH")
        temporary = home / "tmp"
        temporary.mkdir()
        own_files = {"TMPDIR": str(temporary), "WORKER_CLASSES": ",".join(settings.workers)}
        if options.loopback_webhooks:
            own_files["LOOPBACK_WEBHOOKS"] = "true"
        self._environment = inherited | variables() | own_files | credentials.variables | every

    def template(self) -> Template:
        """Start importing the code as it is now."""
        start = {
            "environments": self._environments,
            "creates": self._options.processes,
            "import_seconds": self._options.import_seconds,
        }
        return Template(start, self._environment, str(self._folder))
