"""What a function imports before its first event: what it can do without stays out of its start.

Each entry was measured to cost a share of the start of those that have no use for it: `make bench`.
"""

import json
import subprocess
import sys

import pytest

from benchmarks.environment import ENVIRONMENT
from job_runners.places import ROOT
from job_runners.shipped.jobs.table import JOBS
from job_runners.shipped.tasks.table import TASKS

WORK = {entry.module for table in (JOBS, TASKS) for entry in table.values()}
# Never: the first two are no part of what ships, and the others belong to few events.
NOWHERE = WORK | {
    *("boto3", "awscrt", "webhooks", "multiprocessing", "unittest"),
    *("aws_lambda_powertools.event_handler", "aws_lambda_powertools.utilities.data_classes"),
    *(
        "job_runners.work.event_loop",
        "job_runners.runners.legacy",
        "job_runners.runners.legacy_worker",
        "pydantic_settings",
    ),
    "opentelemetry",  # unless traces are asked for
    "difflib",  # which is for errors
    *("cronsim", "tzdata", "job_runners.work.recurring"),  # which are for recurring work
    "dashboard",  # which is for the page
    "botocore.docs.service",  # which is for `help`, see handlers/stand_ins.py
}
# For the times of recurring work, which few ticks compute.
TIMES = {"cronsim", "zoneinfo", "job_runners.work.recurring"}
MAY_NOT_PULL_IN = {
    "api": NOWHERE
    | {
        "asyncio",
        "job_runners.api.openapi",
        "job_runners.engine.running.execution",
        "job_runners.engine.dispatch.quota",  # unless there is one
    }
    | (TIMES - {"zoneinfo"}),  # pydantic imports it
    "worker": NOWHERE
    | {
        "pydantic",
        "asyncio",
        "api",
        "job_runners.engine.tick.timer",
        "job_runners.engine.schedules.recurring",
    }
    | {
        "job_runners.store.steps",
        "job_runners.store.children",
    }  # until a job takes a step, or dispatches another
    | {
        "job_runners.engine.dispatch.dispatch",
        "job_runners.engine.dispatch.quota",
    }  # until work dispatches some
    | {
        "job_runners.store.failed_tasks",
        "job_runners.aws.bucket",
    }  # until a task fails, or a payload is large
    | {
        "job_runners.engine.running.gates",
        "job_runners.engine.running.children",
        "job_runners.engine.lines.admission",
        "job_runners.engine.lines.pausing",
        "job_runners.engine.settling.group_ends",
    }  # until a job has limits, dispatches others or is in a group
    | TIMES,
    "timer": NOWHERE
    | {"pydantic", "asyncio", "api", "job_runners.engine.running.execution"}
    | TIMES,
    "failures": NOWHERE
    | {
        "pydantic",
        "asyncio",
        "api",
        "job_runners.engine.running.execution",
        "job_runners.engine.schedules.recurring",
        "job_runners.engine.lines.admission",
    }
    | TIMES,
}


# The number of our own modules that each function imports before its first event. Change a number
# only on purpose: each module costs every cold start about 0.15 % of boto3's.
MODULES = {"api": 101, "worker": 79, "timer": 83, "failures": 67}


def imported_by(code: str) -> set[str]:
    """Return the modules that a process has imported once this has run."""
    program = f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=ENVIRONMENT | {"JOBS_PROJECT": ""},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("handler", MAY_NOT_PULL_IN)
def test_a_handler_does_not_import(handler: str) -> None:
    clients = "from job_runners.aws.clients import client; client('dynamodb'); client('lambda')"
    found = imported_by(
        f"import job_runners.handlers.{handler}, gc\n"
        f"assert gc.isenabled() and gc.get_freeze_count()\n{clients}"
    )
    assert f"job_runners.handlers.{handler}" in found
    assert not found & MAY_NOT_PULL_IN[handler]
    ours = {name for name in found if name.partition(".")[0] == "job_runners"}
    assert len(ours) == MODULES[handler], sorted(ours)


def test_what_libraries_import_for_others_is_there_for_code_that_asks_for_it() -> None:
    imported_by(
        "import job_runners.handlers.worker, sys\n"
        "assert 'importlib.metadata' not in sys.modules\n"
        "from job_runners.aws.clients import client\n"
        "assert client('dynamodb').put_item.__doc__ is None\n"
        "import botocore.docs, urllib3.http2\n"
        "from botocore.docs.docstring import LazyLoadedDocstring\n"
        "assert LazyLoadedDocstring.__module__ == 'botocore.docs.docstring'\n"
        "assert botocore.docs.generate_docs.__module__ == 'botocore.docs'\n"
        "assert urllib3.http2.inject_into_urllib3.__module__ == 'urllib3.http2'"
    )


@pytest.mark.parametrize("library", ["botocore", "urllib3"])
def test_a_library_that_is_imported_already_is_left_as_it_is(library: str) -> None:
    imported_by(
        f"import {library}, sys\n"
        "import job_runners.handlers.worker, botocore.docs\n"
        "assert botocore.docs.__file__ and not hasattr(sys.modules.get('urllib3.http2'), '_no')\n"
        "assert type(sys.modules['botocore.docs']).__name__ == 'module'"
    )


def test_a_stand_in_has_neither_special_names_nor_those_of_its_modules() -> None:
    imported_by(
        "import job_runners.handlers.worker, sys\n"
        "docs = sys.modules['botocore.docs']\n"
        "assert not hasattr(docs, '__wrapped__') and not hasattr(docs, 'client')\n"
        "assert sys.modules['botocore.docs'] is docs\n"
        "from botocore.docs import client\n"
        "assert client.__name__ == 'botocore.docs.client'\n"
        "docstrings = sys.modules['botocore.docs.docstring']\n"
        "assert docstrings.LazyLoadedDocstring\n"
        "real = sys.modules['botocore.docs.docstring']\n"
        "assert real is not docstrings and docstrings.document_model_driven_method\n"
        "assert sys.modules['botocore.docs.docstring'] is real"
    )


def test_the_api_has_imported_what_dispatches_before_its_first_request() -> None:
    assert "job_runners.engine.dispatch.dispatch" in imported_by("import job_runners.handlers.api")


def test_no_pattern_is_compiled_for_names_that_are_plain_words() -> None:
    imported_by(
        "from job_runners import names; names.re = None\n"
        "from job_runners.engine.registry.registry import registry; registry()\n"
        "assert names.is_name('first_messages')"
    )


_TRACED = """
from job_runners.engine.telemetry import tracing
from job_runners.engine.wire.messages import TaskMessage
message = TaskMessage(id="i", name="n", payload={})
with tracing.request({}, verified=True), tracing.dispatching("n"), tracing.working(message):
    print(tracing.current(), tracing.log_fields())
    tracing.ended("done")
"""


def test_traces_import_nothing_unless_they_are_asked_for() -> None:
    assert "opentelemetry" not in imported_by(_TRACED)
    assert "opentelemetry" in imported_by(f"import os; os.environ['TRACES'] = 'true'\n{_TRACED}")


def test_traces_that_are_asked_for_without_opentelemetry_are_left_out() -> None:
    missing = "import os, sys; os.environ['TRACES'] = 'true'; sys.modules['opentelemetry'] = None"
    assert "opentelemetry.trace" not in imported_by(f"{missing}\n{_TRACED}")


def test_no_model_is_built_before_it_is_used() -> None:
    imported_by(
        "import job_runners.handlers.api; from pydantic import BaseModel\n"
        "from job_runners.runners import JobData\n"
        "models = BaseModel.__subclasses__(); assert JobData in models and len(models) > 2\n"
        "assert not [each for each in models if each.__pydantic_complete__]\n"
        "assert JobData(job_type='x').job_type == 'x' and JobData.__pydantic_complete__"
    )


@pytest.mark.parametrize("handler", MAY_NOT_PULL_IN)
def test_no_class_is_made_a_dataclass(handler: str) -> None:
    """Each compiles its methods: what a start makes is of `values`, or written out."""
    imported_by(
        f"import job_runners.handlers.{handler}\n"
        "from job_runners.engine.registry.registry import registry; registry()\n"
        "import sys; from job_runners.values import Value\n"
        "ours = [each for name, each in sys.modules.items() if name.startswith('job_runners.')]\n"
        "classes = {each for module in ours for each in vars(module).values()\n"
        "    if isinstance(each, type)}\n"
        "assert len(classes) > 50\n"
        "made = [each for each in classes if '__dataclass_params__' in vars(each)\n"
        "    and each.__module__.startswith('job_runners.') and each is not Value]\n"
        "assert not made, made"
    )


def test_a_worker_imports_the_module_of_the_job_that_it_runs_and_no_other() -> None:
    found = imported_by(
        "import job_runners.handlers.worker\n"
        "from job_runners.engine.registry.registry import registry\n"
        "registry().load(registry().job('post_webhook'))"
    )
    assert found & WORK == {"job_runners.shipped.jobs.post_webhook"}


def test_recurring_work_is_declared_without_what_reads_cron_and_zones() -> None:
    found = imported_by(
        "from job_runners.work import Recurring\n"
        "Recurring('x', cron='0 2 * * *', timezone='Europe/Berlin', organization_id='acme')"
    )
    assert "job_runners.work.recurring" in found
    assert not found & {"cronsim", "tzdata", "zoneinfo", "pydantic"}
