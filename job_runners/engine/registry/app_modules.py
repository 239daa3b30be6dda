"""Import the modules that an app adds: its packages and its runner."""

import sys
from importlib import import_module
from types import ModuleType

from job_runners.settings import settings


def import_app_module(name: str) -> ModuleType:
    """Import and return a module, which may belong to the app.

    In a Lambda function, the app's packages are next to `job_runners`. In a checkout, they may be
    in a folder that isn't on Python's path. This adds the folder to the end of the path, so that
    the app's modules can't shadow others.
    """
    folder = settings().app_folder
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))
    return import_module(name)
