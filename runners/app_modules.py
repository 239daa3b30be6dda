"""Import modules that an organization has added: its packages, its runner, its EXTENSIONS."""

import sys
from importlib import import_module
from types import ModuleType

from settings import settings


def import_added(name: str) -> ModuleType:
    """Import and return a module, which may be an organization's own.

    In a function, the organization's packages are next to ours. In a checkout they are in a folder
    that Python doesn't search by itself. The folder is searched last, so that it can't replace a
    module of ours.
    """
    folder = settings().app_folder
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))
    return import_module(name)
