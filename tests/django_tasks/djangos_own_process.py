"""Run Django's own tests of tasks with the backend of Job Runners in place of Django's backends.

The last line that it prints is JSON: how each test ended.
"""

import json
import logging
import os
import sys
import unittest
from typing import Any, cast

import django
from django.conf import settings
from django.tasks import Task, TaskResult
from django.tasks.backends import dummy, immediate
from django.test.utils import get_runner

os.environ["JOBS_PACKAGES"] = "djangos_own_process"

from job_runners.django import JobRunnersBackend, django_task
from job_runners.testing.job_runner import InlineRunner, inline_runner

# The queues that the tests use.
JOBS = {"django_task": django_task(queues=("queue_1", "high", "bulk"))}


class Storing(JobRunnersBackend):
    """In place of DummyBackend: jobs are saved, and no worker runs them."""

    def __init__(self, alias: str, params: Any) -> None:
        super().__init__(alias, params)
        self.settings["PRIORITY_QUEUES"] = {}
        self.settings["MODULES"] = ("tasks.tasks",)  # two tests have no installed apps
        self.supports_priority = True
        self.results: list[TaskResult] = []

    def _dispatch(self, task: Task, fields: Any) -> TaskResult:
        result = super()._dispatch(task, fields)
        self.results.append(result)
        return result

    def clear(self) -> None:
        """Forget the results of the test before."""
        self.results.clear()


class Running(Storing):
    """In place of ImmediateBackend: a worker runs each job before `enqueue` returns."""

    runner: InlineRunner

    def enqueue(self, task: Task, args: Any, kwargs: Any) -> TaskResult:
        """Enqueue, and let the worker run everything."""
        result = super().enqueue(task, args, kwargs)
        self.runner.drain()
        result.refresh()
        return result


class _Ends(unittest.TextTestResult):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ends: dict[str, str] = {}

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's name
        super().startTest(test)
        self.ends[test.id()] = "passed"

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addFailure(test, err)
        self.ends[test.id()] = f"failed: {err[1]}"

    addError = addFailure  # noqa: N815

    def addSubTest(self, test: unittest.TestCase, subtest: Any, err: Any) -> None:  # noqa: N802
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.ends[test.id()] = f"failed: {err[1]}"


def main() -> None:
    """Run all tests of the package `tasks`, which is Django's."""
    dummy.DummyBackend, immediate.ImmediateBackend = Storing, Running
    settings.configure(
        SECRET_KEY="x",
        INSTALLED_APPS=["tasks"],
        USE_TZ=False,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        TASKS={"default": {"BACKEND": "job_runners.django.JobRunnersBackend", "QUEUES": []}},
        LOGGING_CONFIG=None,
    )
    logging.disable(logging.NOTSET)
    environment = {"JOBS_PACKAGES": "djangos_own_process"}
    with inline_runner(environment=environment) as Running.runner:
        django.setup()
        runner = get_runner(settings)(verbosity=0, interactive=False)
        suite = runner.build_suite(["tasks"])
        old = runner.setup_databases()
        runner.setup_test_environment()
        ends = cast(_Ends, unittest.TextTestRunner(stream=sys.stderr, resultclass=_Ends).run(suite))
        runner.teardown_test_environment()
        runner.teardown_databases(old)
    print(json.dumps({"django": list(django.VERSION[:2]), "ends": ends.ends}))  # noqa: T201


if __name__ == "__main__":
    sys.modules["djangos_own_process"] = sys.modules["__main__"]
    main()
