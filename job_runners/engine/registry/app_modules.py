"""Import the modules that an app adds: its packages and its runner."""

import sys
from importlib import import_module
from types import ModuleType

from job_runners.settings import settings


def import_app_module(name: str) -> ModuleType:
    """Import and return a module, which may be one of the app's.

    In a Lambda function, the app's packages are next to `job_runners`. In a checkout they are in a
    folder that isn't on Python's path. This adds that folder at the end of the path, so that the
    app's modules can't replace others.
    """
    folder = settings().app_folder
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))
    return import_module(name)
