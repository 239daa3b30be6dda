"""Stand-ins for modules that two libraries import, although no function needs them.

They save a twentieth of a cold start. botocore imports the code that writes its documentation, for
`help(client.put_item)`. With the stand-in, the methods of clients have no docstrings. urllib3
imports `importlib.metadata` to check the version of a package for HTTP/2. A stand-in replaces
itself by the real module as soon as code reads any other attribute.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class _StandIn(ModuleType):
    """A module that imports the real one when code reads an attribute that it lacks."""

    def __getattr__(self, name: str) -> Any:
        is_package = "__path__" in vars(self)
        if name.startswith("__") or (is_package and find_spec(f"{self.__name__}.{name}")):
            raise AttributeError(name)  # so that Python imports this module of the package
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def replace_modules() -> None:
    """Install the stand-ins, unless one of the libraries has already been imported."""
    if "botocore" not in sys.modules and "urllib3" not in sys.modules:
        _replace_package("botocore", "docs")
        _replace_package("urllib3", "http2")
        docstrings = _StandIn("botocore.docs.docstring")
        sys.modules["botocore.docs.docstring"] = docstrings
        for kind in ("ClientMethod", "Paginator", "Waiter"):
            setattr(docstrings, f"{kind}Docstring", _no_docstring)


def _replace_package(library: str, package: str) -> None:
    """Replace a library's package. Modules of the package can still be imported from its folder."""
    spec = find_spec(library)
    folders = (spec.submodule_search_locations if spec else None) or ()
    stand_in = _StandIn(f"{library}.{package}")
    stand_in.__path__ = [f"{folder}/{package}" for folder in folders]
    sys.modules[f"{library}.{package}"] = stand_in
    setattr(import_module(library), package, stand_in)


def _no_docstring(**_: Any) -> None:
    """Stand in for botocore's classes that create docstrings."""
