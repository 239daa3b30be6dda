"""A site with Wagtail publishes through jobs: its search, its references and its files."""

import json
import os
import subprocess
import sys
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

HERE = Path(__file__).parent
TASKS = {
    "modelsearch.tasks.insert_or_update_object_task",
    "wagtail.tasks.update_reference_index_task",
    "wagtail.tasks.delete_file_from_storage_task",
}


def environment_of(folder: Path, *, on_commit: bool) -> dict[str, str]:
    """Return the environment of a site whose database is in this folder."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "website.press",
        "PRESS_DATABASE": str(folder / "press.db"),
        "PRESS_MEDIA": str(folder / "media"),
        "PRESS_ON_COMMIT": "default" if on_commit else "",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "JOB_RUNNERS_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "site",
        "AWS_SECRET_ACCESS_KEY": "site",
        "AWS_REGION": "us-east-1",
    }
    environment.pop("JOB_RUNNER", None)
    return environment


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with Wagtail's tables and first pages, which take long to make."""
    folder = tmp_path_factory.mktemp("migrated")
    # Its tasks run in this process: there is no stack yet.
    immediate = "from website.press import *\nTASKS = {'default': {'BACKEND': "
    immediate += "'django.tasks.backends.immediate.ImmediateBackend'}}\n"
    (folder / "press_without_stack.py").write_text(immediate)
    environment = environment_of(folder, on_commit=False)
    environment["PYTHONPATH"] += os.pathsep + str(folder)
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "--verbosity", "0"],
        env=environment | {"DJANGO_SETTINGS_MODULE": "press_without_stack"},
        check=True,
    )
    return folder / "press.db"


def publish(folder: Path, migrated: Path, *, early: bool, on_commit: bool) -> dict[str, Any]:
    """Run a stack and a site, and return the site's report."""
    copyfile(migrated, folder / "press.db")
    environment = environment_of(folder, on_commit=on_commit)
    stack = subprocess.Popen(
        [sys.executable, HERE / "stack_process.py"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert stack.stdout is not None
    try:
        environment["JOB_RUNNERS_URL"] = f"http://127.0.0.1:{stack.stdout.readline().strip()}"
        site = subprocess.run(
            [sys.executable, HERE / "wagtail_process.py", *(["early"] if early else [])],
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    finally:
        stack.terminate()
        stack.wait()
    assert site.returncode == 0, site.stderr
    report: dict[str, Any] = json.loads(site.stdout.splitlines()[-1])
    return report


def assert_published(report: dict[str, Any]) -> None:
    assert report["before"]["articles"] == []
    assert report["after"] == {"articles": ["Zebras"], "references": 1}
    assert report["file"] == [True, False]
    assert {each["task"] for each in report["jobs"]} == TASKS
    assert {each["status"] for each in report["jobs"]} == {"succeeded"}


@pytest.mark.more
def test_publishing_updates_the_search_and_deletes_files_in_the_worker(
    tmp_path: Path, migrated: Path
) -> None:
    report = publish(tmp_path, migrated, early=False, on_commit=False)
    assert_published(report)
    assert [each for each in report["jobs"] if each["errors"]] == []


@pytest.mark.more
def test_with_on_commit_no_worker_is_faster_than_the_commit(tmp_path: Path, migrated: Path) -> None:
    report = publish(tmp_path, migrated, early=True, on_commit=True)
    assert_published(report)
    assert [each for each in report["jobs"] if each["errors"]] == []


@pytest.mark.more
def test_without_on_commit_a_fast_worker_fails_first_and_the_retries_heal_it(
    tmp_path: Path, migrated: Path
) -> None:
    report = publish(tmp_path, migrated, early=True, on_commit=False)
    assert_published(report)
    failed = [each for each in report["jobs"] if each["errors"]]
    assert len(failed) >= 2
    assert {kind for each in failed for kind in each["errors"]} == {"DoesNotExist"}
