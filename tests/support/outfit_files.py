"""An organisation's package on disk, whose work is named by entries: written, broken, fixed."""

import importlib
import sys
from pathlib import Path

import pytest

from job_runners.engine.registry.registry import Registry, registry
from job_runners.testing.aws import forget

GOOD = '''
from pydantic import BaseModel
from job_runners.work import RunningJob

class Letters(BaseModel):
    """Says what to count."""
    text: str = ""

def count(job: RunningJob, payload: Letters) -> dict[str, int]:
    """Count the letters."""
    return {"letters": len(payload.text)}

def note(payload: Letters) -> None:
    """Do nothing."""
'''
TABLE = """
from job_runners.work import Job, Retry, Task

JOBS = {"letters": Job("outfit.letters:count", retry=Retry(max_attempts=3))}
TASKS = {"letter_note": Task("outfit.letters:note", retry=Retry(max_attempts=3))}
"""


class Outfit:
    """The package `outfit`, an extension."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "outfit"
        self._folder.mkdir()

    def write(self, text: str, name: str = "letters") -> None:
        """Write a module of the package, as a deploy would: nothing is loaded of it yet."""
        (self._folder / f"{name}.py").write_text(text)
        self.unload()

    def unload(self) -> None:
        """Be a new process, as far as this package goes."""
        for each in [each for each in sys.modules if each.partition(".")[0] == "outfit"]:
            del sys.modules[each]
        importlib.invalidate_caches()
        forget()

    def registry(self) -> Registry:
        """Return the registry of a new process."""
        self.unload()
        return registry()


@pytest.fixture
def outfit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Outfit:
    """Return a package with a job and a task that work."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a second's mtime would hide an edit
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("JOBS_PACKAGES", "outfit")
    found = Outfit(tmp_path)
    found.write(TABLE, "__init__")
    found.write(GOOD)
    return found
