"""A worker whose first try to set Django up fails tries again, without another process."""

from pathlib import Path

import django_tests

APP = {
    "acme/__init__.py": """
import os
from job_runners.django import django_task

os.environ["DJANGO_SETTINGS_MODULE"] = "website"
JOBS = {"add": django_task("shop.tasks.add", args=[1, 2])}
""",
    "website.py": """
INSTALLED_APPS = ["shop"]
SECRET_KEY = "x"
TASKS = {"default": {"BACKEND": "job_runners.django.JobRunnersBackend"}}
""",
    "shop/__init__.py": "",
    "shop/apps.py": """
from django.apps import AppConfig

tries = []


class Shop(AppConfig):
    name = "shop"

    def ready(self):
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("the shop is closed")
""",
    "shop/tasks.py": """
from django.tasks import task


@task
def add(a, b):
    return a + b
""",
    "tests/test_add.py": """
from job_runners.testing.saved_jobs import assert_failed, assert_succeeded


def test_each_try_has_its_own_error(job_runner):
    for _ in range(2):
        failed = job_runner.run("add")
        assert_failed(failed, "ConnectionError")
        assert failed.error.message == "the shop is closed"
    assert assert_succeeded(job_runner.run("add")) == 3
""",
}


def test_a_set_up_that_fails_is_tried_again(tmp_path: Path) -> None:
    output = django_tests.run(tmp_path, APP, {})
    assert "1 passed" in output, output
