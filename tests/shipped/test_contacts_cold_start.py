"""The API imports every job and task for its payload: what only running them needs stays out."""

import subprocess
import sys

import pytest

from job_runners.places import ROOT


@pytest.mark.parametrize("module", ["phonenumbers", "boto3"])
def test_importing_the_tables_does_not_import(module: str) -> None:
    code = (
        "import sys, job_runners.shipped.jobs.table, job_runners.shipped.tasks.table; "
        f"sys.exit({module!r} in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
