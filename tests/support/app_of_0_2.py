"""An organisation's folder in a checkout of 0.2.0, as that version's guides describe it."""

from pathlib import Path

from job_runners.building.target import Target
from released_code import unpack

FILES = {
    "acme/__init__.py": """\
from work import (
    Job,  # and its rules
    Queue,
    Retry,
)

JOBS = {
    "sync_list": Job("acme.sync_list:sync_list", retry=Retry(max_attempts=3), queue_name="lists"),
    "count": Job("acme.more:count"),
    "letter": Job("acme.letters:letter", retry=Retry(max_attempts=3, base=3600, cap=3600)),
}
QUEUES = {"lists": Queue(slots=2)}
""",
    "acme/sync_list.py": '''\
"""Syncs lists."""

import clock
from errors import DoNotRetry
from pydantic import BaseModel
from work import RunningJob


class SyncList(BaseModel):
    items: list[str]


def sync_list(job: RunningJob, payload: SyncList) -> dict[str, int]:
    """Return how many items there are; a list without items is refused."""
    if not payload.items:
        raise DoNotRetry("no items")
    job.checkpoint(progress=50, message=f"work is halfway at {clock.now()}")
    return {"items": len(payload.items)}
''',
    "acme/more.py": '''\
import work.errors
import work.running_job as rj
from pydantic import BaseModel


class Nothing(BaseModel):
    pass


def count(job: rj.RunningJob, payload: Nothing) -> int:
    """Return a number."""
    assert work.errors
    return 7
''',
    "acme/letters.py": '''\
"""Says which version runs it, once a file is there."""

import time
from pathlib import Path

from pydantic import BaseModel
from work import RunningJob

try:
    from job_runners import __version__
except ImportError:  # the functions of 0.2.0 don't have this package
    __version__ = "old"


class Letter(BaseModel):
    wait_for: str = ""


def letter(job: RunningJob, payload: Letter) -> dict[str, str]:
    """Wait for the file, and return the version."""
    while payload.wait_for and not Path(payload.wait_for).exists():
        time.sleep(0.02)
    return {"by": __version__}
''',
    "acme/runner.py": '''\
"""A runner of its own."""

from runners.lambda_async import dispatch_job, dispatch_task, fully_configured

__all__ = ["dispatch_job", "dispatch_task", "fully_configured"]
''',
    "acme/extra.py": '''\
"""More work, which Extensions names."""

from pydantic import BaseModel
from work import Task


class Note(BaseModel):
    text: str = ""


def note(payload: Note) -> None:
    """Do nothing."""


TASKS = {"note": Task(note)}
''',
    "acme/unused.py": '''\
"""What the guides don't mention."""

from runners import line_pump
from runners.messages import encode

from .more import count

__all__ = ["count", "encode", "line_pump"]
''',
    "tests/test_sync_list.py": """\
from runners import JobData, dispatch_job
from testing.saved_jobs import assert_failed, assert_succeeded

pytest_plugins = ["testing.plugin"]


def test_it_counts(job_runner):
    job = job_runner.run("sync_list", {"items": ["ada"]})
    assert assert_succeeded(job) == {"items": 1}
    assert "no items" in assert_failed(job_runner.run("sync_list", {"items": []})).message


def test_the_product_dispatches_it(job_runner, saved_jobs):
    dispatch_job(JobData(job_type="count"))
    job_runner.drain()
    assert assert_succeeded(saved_jobs.only("count")) == 7
""",
    "pytest.ini": "[pytest]\naddopts = -ra -p testing.plugin\n",
    "template.yaml": "Resources:\n  Topic: {Type: AWS::SNS::Topic}\n",
    "samconfig.toml": 'version = 0.1\n[default.deploy.parameters]\ntags = "team=lists"\n',
    "requirements.txt": "# none\n",
    ".gitignore": "*.swp\n.venv/\n",
}
SAMCONFIG = """\
# Our settings.
version = 0.1

[default.global.parameters]
stack_name = "{stack}"
parameter_overrides = [
    "Architecture={architecture}", "PythonRuntime={python_runtime}", # as ever
    "JobRunner=runners.lambda_async", "Extensions=acme.extra", "WorkerTimeout=600",
]

[default.build.parameters]
build_in_source = true

[default.deploy.parameters]
capabilities = "CAPABILITY_IAM"
resolve_s3 = true
s3_prefix = "job-runners"
region = "eu-west-1"
"""


def checkout_of_0_2(folder: Path, stack: str = "lists-prod") -> Path:
    """Write what matters of a checkout of 0.2.0, with the folder app, and return the checkout."""
    unpack("0.2.0", folder)
    target = Target.this_machine()
    config = SAMCONFIG.format(
        stack=stack, architecture=target.architecture, python_runtime=target.python_runtime
    )
    (folder / "samconfig.toml").write_text(config)
    for name, text in FILES.items():
        file = folder / "app" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder
