"""The code that the pages of the docs show, run as modules."""

import re
import sys
from types import ModuleType
from typing import Any

import pytest


def blocks(page: str, language: str = "python") -> list[str]:
    """Return the blocks of code in a page's text."""
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def module(name: str, code: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run code as a module that can be imported until the test ends."""
    made = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, made)
    exec(compile(code, name, "exec"), made.__dict__)
    return made
