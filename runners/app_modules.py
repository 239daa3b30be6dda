"""Imports what an organisation has added: its packages, its runner, modules of EXTENSIONS."""

import sys
from importlib import import_module
from types import ModuleType

from settings import settings


def import_added(name: str) -> ModuleType:
    """Return a module that may be an organisation's own.

    In a function its packages are beside ours. In a checkout they are in a folder that Python does
    not look into by itself; it comes last, so that no name of ours can be taken from there.
    """
    folder = settings().app_folder
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))
    return import_module(name)
