"""Import the modules that an app adds: its packages and its runner."""

import sys
from importlib import import_module
from types import ModuleType

from job_runners.settings import settings


def import_added(name: str) -> ModuleType:
    """Import and return a module, which may be one of the app's.

    In a Lambda function, the app's packages are next to ours. In a checkout they are in a folder
    that Python doesn't search by itself. Python searches this folder last, so that its modules
    can't replace ours.
    """
    folder = settings().app_folder
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))
    return import_module(name)
