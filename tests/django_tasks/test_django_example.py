"""examples/django_app: its own tests pass, and its pages work with `job-runners run`."""

from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

import supervised
from django_tests import manage, run_tests
from job_runners.places import ROOT

# Presses the button twice, as an impatient person does, and follows the page.
VISIT = """
import re, time
from django.test import Client

browser = Client(headers={"host": "localhost"})
page = browser.get("/texts/").content.decode()
fields = {**dict(re.findall(r'name="(id)" value="([^"]+)"', page)), "body": "Stripes and stripes"}
first, again = (browser.post("/texts/", fields)["Location"] for _ in range(2))
until = time.monotonic() + 60
while "refresh" in (page := browser.get(first).content.decode()) and time.monotonic() < until:
    time.sleep(0.1)
print(first == again, page)
"""
# The pages while the API is away. The dispatch fails after the commit, which Django only logs.
AWAY = VISIT.replace("60", "1").replace("print(first == again, page)", "print(page)")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    unneeded = ignore_patterns("__pycache__", ".*", "wheels", "db.sqlite3")
    return copytree(ROOT / "examples/django_app", tmp_path / "django_app", ignore=unneeded)


def test_its_own_tests_pass(project: Path) -> None:
    output = run_tests(project)
    assert "5 passed" in output, output


def test_its_page_asks_again_while_the_api_is_away(project: Path) -> None:
    nowhere = {"SECRET_KEY": "x", "DJANGO_DEBUG": "1", "JOB_RUNNERS_URL": "http://127.0.0.1:9"}
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}
    for arguments in (
        ["makemigrations", "--check", "--dry-run"],
        ["migrate", "--verbosity", "0"],
        ["shell", "-c", AWAY],
    ):
        done = manage(project, *arguments, **nowhere, **keys)
        assert done.returncode == 0, done.stderr
    assert "127.0.0.1:9" in done.stderr
    assert "<p>READY</p>" in done.stdout


@pytest.mark.e2e
def test_its_pages_show_what_the_worker_found(project: Path) -> None:
    with supervised.running(project, SECRET_KEY="local") as run:
        for arguments in (
            ["migrate", "--verbosity", "0"],
            ["check", "--deploy"],
            ["shell", "-c", VISIT],
        ):
            done = manage(project, *arguments, SECRET_KEY="local")
            assert done.returncode == 0, done.stderr + run.shown
        assert "True <!doctype html>" in done.stdout
        assert "<li>stripes: 2</li>" in done.stdout, run.shown
        [job] = run.api.get("/jobs?organization_id=default").json["jobs"]
        assert (job["job_type"], job["status"]) == ("django_task", "succeeded")
