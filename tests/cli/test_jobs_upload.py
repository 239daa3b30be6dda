"""job-runners upload: a file goes into the organization's folder, and its key is printed."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from fake_stack import OUTPUTS, REGION
from job_runners.aws import bucket
from job_runners.cli import local_aws
from job_runners.cli.problem import Exit
from job_runners.cli.stack import Stack
from jobs_command import FakeApi, jobs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "may.csv"
    found.write_bytes(b"a,b\n1,2\n")
    return found


@pytest.fixture
def stack(api: FakeApi, aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command find a stack whose bucket is moto's."""
    found = Stack.from_outputs("job-runners", REGION, OUTPUTS)
    found = replace(found, api_url=os.environ["JOBS_API_URL"])
    monkeypatch.setattr(local_aws, "running_stack", lambda: found)
    monkeypatch.delenv("JOBS_API_URL")


def test_a_file_is_uploaded_and_its_key_printed(stack: None, file: Path) -> None:
    assert jobs("upload", str(file)).stdout == "uploads/default/may.csv\n"
    assert bucket.get_bytes("uploads/default/may.csv") == file.read_bytes()
    file.write_bytes(b"")
    done = jobs("upload", str(file), "--name", "2026/may.csv", "--organization", "acme", "--json")
    assert json.loads(done.stdout) == {"key": "uploads/acme/2026/may.csv"}
    assert bucket.get_bytes("uploads/acme/2026/may.csv") == b""


@pytest.mark.parametrize("name", ["../other/may.csv", "/may.csv", "a//b"])
def test_a_name_outside_the_folder_is_refused(stack: None, file: Path, name: str) -> None:
    done = jobs("upload", str(file), "--name", name)
    assert done.exit_code == Exit.USAGE
    assert "isn't a valid name" in done.stderr


def test_an_apis_url_does_not_tell_where_to_upload_it(api: FakeApi, file: Path) -> None:
    done = jobs("upload", str(file))
    assert done.exit_code == Exit.REFUSED
    assert "Pass --stack NAME too" in done.stderr


def test_a_file_that_is_not_there_is_refused(stack: None, tmp_path: Path) -> None:
    done = jobs("upload", str(tmp_path / "none.csv"))
    assert done.exit_code == Exit.USAGE
    assert "does not exist" in done.stderr
