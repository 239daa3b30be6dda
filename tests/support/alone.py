"""Imports modules as an environment would that holds Job Runners with some of its extras alone.

Usage: python -I -S alone.py WHEEL_FOLDER SITE_PACKAGES DISTRIBUTIONS, with the modules on standard
input. Prints each module that can't be imported, with the reason.
"""

import importlib
import json
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions
from types import ModuleType

code, site, allowed = sys.argv[1], sys.argv[2], {"job-runners", *json.loads(sys.argv[3])}
sys.path += [code, site]
owners = packages_distributions()


def normalized(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


class Refuser(MetaPathFinder):
    """Hides the packages of all other distributions."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top = name.partition(".")[0]
        if top in owners and not allowed & {normalized(each) for each in owners.get(top, ())}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


sys.meta_path.insert(0, Refuser())
for module in sys.stdin.read().split():
    try:
        importlib.import_module(module)
    except ImportError as error:
        sys.stdout.write(f"{module}: {type(error).__name__}: {error}\n")
