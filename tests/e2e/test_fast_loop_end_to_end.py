"""A file that is saved while the local AWS is up: its jobs run the new code, without a restart.

That a mistake is told, and that jobs from before are kept: test_tutorial_end_to_end.py.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from job_runners.building.build import ROOT
from job_runners.building.function_files import SHIPPED
from job_runners.local.emulator import CODE_FOLDER
from job_runners.local.new_code import Packages
from job_runners.local.watcher import Sources, watching
from local_stack import PROJECT, Local
from machine_speed import seconds_to_start_python

pytestmark = pytest.mark.e2e

PATIENCE = 60  # seconds
SAMPLES = 4

# Says which version it is, after it has waited for a file if it was told of one.
GREET = """
import pathlib, time
from pydantic import BaseModel
from job_runners.work import RunningJob

class Greet(BaseModel):
    wait_for: str = ""

def greet(job: RunningJob, payload: Greet) -> dict[str, str]:
    while payload.wait_for and not pathlib.Path(payload.wait_for).exists():
        time.sleep(0.02)
    return {{"greeting": "{version}"}}
"""
TABLE = """

from job_runners.shipped.jobs.greet import greet
JOBS["greet"] = Job(greet)
"""


@dataclass
class Checkout:
    """A copy of the checkout that a test may write in, watched."""

    root: Path
    local: Local
    said: list[str] = field(default_factory=list)

    def save(self, name: str, text: str) -> None:
        """Save a file."""
        (self.root / name).write_text(text)

    def save_version(self, version: str) -> float:
        """Save another version of the job; return how long it is until a job has a result by it."""
        began = time.monotonic()
        self.save("job_runners/shipped/jobs/greet.py", GREET.format(version=version))
        while time.monotonic() < began + PATIENCE:
            if self.greet() == version:
                return time.monotonic() - began
        raise AssertionError(f"no job ran {version}: {self.said}")

    def greet(self, **payload: Any) -> str | None:
        """Return what a job's result says, or nothing as long as there is no such job."""
        answer = self.dispatch(**payload)
        if answer is None:
            return None
        result = follow_to_its_end(self.local, answer)["result"]
        return str(result["greeting"])

    def dispatch(self, **payload: Any) -> str | None:
        """Return the id of a new job."""
        body = {"job_type": "greet", "organization_id": "default", "payload": payload}
        answer = self.local.api.post("/jobs", body)
        return str(answer.json["id"]) if answer.status == 202 else None


def follow_to_its_end(local: Local, job_id: str) -> dict[str, Any]:
    """Return a job once it has succeeded."""
    job: dict[str, Any] = {}

    def succeeded() -> bool:
        job.update(local.api.get(f"/jobs/{job_id}").json)
        assert job["status"] != "failed", job
        return bool(job["status"] == "succeeded")

    assert _until(succeeded), job
    return job


def _until(look: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not (seen := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return seen


@pytest.fixture(scope="module")
def checkout(local: Local, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Yield a copy with a job of the test's own, which is in force; what was deployed is again in
    force at the end."""
    root = tmp_path_factory.mktemp("checkout")
    for name in SHIPPED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        (root / name).parent.mkdir(exist_ok=True)
        copy(ROOT / name, root / name)
    made = Checkout(root, local)
    with _watching(made):
        table = root / "job_runners/shipped/jobs/table.py"
        table.write_text(table.read_text() + TABLE)
        made.save_version("first")
        yield made
    for link in (home_of(local) / CODE_FOLDER).glob("*.active"):
        link.unlink()


@contextmanager
def _watching(checkout: Checkout) -> Iterator[None]:
    copied = {name: checkout.root / name for name in SHIPPED}
    sources = Sources.now(Packages(copied | {"campaign": PROJECT / "campaign"}), [])
    with watching(checkout.local.stack, home_of(checkout.local), sources, checkout.said.append):
        yield


def home_of(local: Local) -> Path:
    """Return the folder of the run."""
    return local.tree.parent.parent


def test_a_saved_job_runs_its_new_code_within_moments(
    checkout: Checkout, record_property: Callable[[str, object], None]
) -> None:
    took, peers = [], []
    for number in range(SAMPLES):
        took.append(checkout.save_version(f"version {number}"))
        peers.append(seconds_to_start_python())
    shown = ", ".join(f"{seconds:.1f}" for seconds in took)
    peer = median(peers)
    record_property("figures", f"from saving a job to its result: {shown} s; Python: {peer:.1f} s")
    assert median(took) < 3 + 20 * peer  # a deploy takes several times as long


def test_a_job_that_runs_ends_on_the_code_that_it_began_with(
    checkout: Checkout, tmp_path: Path
) -> None:
    checkout.save_version("old")
    go = tmp_path / "go"
    running = checkout.dispatch(wait_for=str(go))
    assert running
    assert _until(lambda: _status(checkout, running) == "running")
    checkout.save_version("new")
    assert _status(checkout, running) == "running"
    go.touch()
    assert follow_to_its_end(checkout.local, running)["result"]["greeting"] == "old"
    assert checkout.greet() == "new"


def _status(checkout: Checkout, job_id: str) -> str:
    return str(checkout.local.api.get(f"/jobs/{job_id}").json["status"])
