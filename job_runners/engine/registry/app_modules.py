"""Import the modules that an app adds: its packages and its runner."""

import sys
from importlib import import_module
from types import ModuleType

from job_runners.settings import settings


def import_app_module(name: str) -> ModuleType:
    """Import and return a module, which may be one of the app's.

    In a Lambda function, the app's packages are next to ours. In a checkout they are in a folder
    that isn't on Python's path, so this adds it, as the last entry: the app's modules must not
    replace ours.
    """
    folder = settings().app_folder
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))
    return import_module(name)
