"""Entries by name: imported when they are first needed, and harmless if they can't be."""

import gc
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from api_events import call
from bench import Bench
from histories.faults import Fault
from histories.history import play_seed, simulated_aws
from job_runners import clock
from job_runners.engine.registry.errors import FunctionsNotLoaded
from job_runners.engine.registry.registry import registry
from job_runners.engine.running import execution, failure_records
from job_runners.engine.wire.messages import TaskMessage
from job_runners.errors import InvalidDefinition
from job_runners.places import ROOT
from job_runners.store import blobs
from job_runners.store.job_request import Status
from job_runners.testing.aws import ENVIRONMENT, WORKER_ARN
from job_runners.work import Job, Task
from job_runners.work.errors import FunctionNotLoaded
from outfit_files import GOOD, Outfit
from sizes import by_size

MISSING = "import no_such_distribution\n" + GOOD


@pytest.fixture
def with_outfit(bench: Bench, outfit: Outfit) -> Outfit:
    """Return the outfit, on a bench whose JOBS_PACKAGES it replaces."""
    return outfit


def letters(bench: Bench, **fields: Any) -> Any:
    return bench.dispatch("letters", payload={"text": "abc"}, **fields)


# --- imported when needed -------------------------------------------------------------------------


def run_fresh(program: str) -> str:
    """Return what a new process prints."""
    environment = {**os.environ, **ENVIRONMENT, "JOB_RUNNER": "lambda-async"}
    environment |= {
        "WORKER_LAMBDA_FUNCTION_NAME": WORKER_ARN,
        "DELAY_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/123456789012/delay",
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_name_and_its_rules_are_known_without_an_import() -> None:
    printed = run_fresh(
        "import sys; from job_runners.engine.registry.registry import registry\n"
        "print(registry().job('post_webhook').retry.max_attempts, registry().jobs.keys()\n"
        "      >= {'announce'}, 'job_runners.shipped.jobs.post_webhook' in sys.modules)\n"
        "registry().load(registry().job('post_webhook'))\n"
        "print('job_runners.shipped.jobs.post_webhook' in sys.modules,\n"
        "      'job_runners.shipped.jobs.announce' in sys.modules)"
    )
    assert printed.split() == ["10", "True", "False", "True", "False"]


@pytest.mark.parametrize("handler", ["timer", "failures"])
def test_timer_and_failures_do_without_pydantic(handler: str) -> None:
    printed = run_fresh(
        f"import sys, job_runners.handlers.{handler}; from job_runners import runners\n"
        "from job_runners.engine.registry.registry import registry\n"
        "runners.sender(); registry()\n"
        "work = {'shipped.jobs.batch', 'shipped.jobs.post_webhook'}\n"
        "print({'pydantic', *(f'job_runners.{name}' for name in work)} & set(sys.modules))"
    )
    assert printed.strip() == "set()"


def test_an_entry_runs_like_a_function(bench: Bench, with_outfit: Outfit) -> None:
    row = bench.run(letters(bench))
    assert row.status is Status.SUCCEEDED
    assert blobs.get(row.result, row.result_key) == {"letters": 3}
    assert "outfit.letters" in sys.modules


def test_it_is_loaded_before_the_claim_and_outside_the_alarm(
    bench: Bench, with_outfit: Outfit
) -> None:
    row = letters(bench)
    with_outfit.write("import signal; raise KeyboardInterrupt(signal.getitimer(0))\n" + GOOD)
    with pytest.raises(KeyboardInterrupt) as interrupted:  # as a kill would end it there
        bench.run(row)
    assert interrupted.value.args == ((0.0, 0.0),)
    assert (bench.read(row).status, bench.read(row).invocations) == (Status.QUEUED, 0)


@pytest.mark.parametrize("before", [True, False])
def test_no_garbage_is_looked_for_during_an_import_and_afterwards_as_before(
    before: bool, outfit: Outfit
) -> None:
    outfit.write("import gc\nLOOKED_FOR = gc.isenabled()\n" + GOOD)
    if not before:
        gc.disable()
    try:
        Task("outfit.letters:note").load()
        assert gc.isenabled() is before
    finally:
        gc.enable()
    assert not sys.modules["outfit.letters"].LOOKED_FOR


# --- what an error says ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (
            MISSING,
            r"letters.py, line 1: ModuleNotFoundError: .*\. Add the package that provides \w+ to ",
        ),
        ("x = (\n", r"letters.py, line 1: SyntaxError: '\(' was never closed\. Correct that line"),
        ("import os\nos.environ['NOT_SET']", r"letters.py, line 2: KeyError: .* leave to the func"),
        ("import json\njson.loads('{')", r"letters.py, line 2: JSONDecodeError: "),
        (
            "from job_runners.work import app_setting\napp_setting('API_KEY')",
            r"letters.py, line 2: AppSettingMissing: [^.]*\. A module is imported at build time",
        ),
        ("import sys\nsys.exit(3)", r"letters.py, line 2: SystemExit: 3"),
        (GOOD.replace("def count", "def counts"), r"letters.py does not define count; did you mea"),
        (GOOD.replace("count(job: RunningJob, ", "count("), r"must take exactly \(job, payload\)"),
        (GOOD.replace(": Letters)", ")"), "annotate `payload` with a pydantic model"),
        (GOOD + "count = 3\n", "that is not a function"),
        (GOOD.replace("def count", "def add_up"), "not define count; correct the name, or defin"),
        (GOOD.replace(": Letters)", ": 'Leters')"), "name 'Leters' is not defined"),
        ("raise ValueError", r"letters.py, line 1: ValueError: without a message\. "),
        ("count = counted", r"letters.py, line 1: NameError: .* Correct that line"),
        ("from os import counted", r"letters.py, line 1: ImportError: .* Correct that line"),
        (GOOD.replace("return {", "yield {"), r"is a generator \(it has a yield\)"),
        (
            GOOD.replace("def count", "async def count").replace("return {", "yield {"),
            "a generator",
        ),
        ("count = 1\0", "on import: .*null bytes"),  # a file that Python does not even begin
    ],
)
def test_all_that_is_broken_is_named_with_its_place(module: str, says: str, outfit: Outfit) -> None:
    outfit.write(module)
    with pytest.raises(FunctionsNotLoaded) as broken:
        outfit.registry().resolve_all()
    text = str(broken.value)
    assert re.search(r"the job 'letters': 'outfit.letters:count' \(.*__init__.py, line 4\)", text)
    assert re.search(says, text)


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (GOOD.replace("def count", "def counts"), "1 function of JOBS"),
        (MISSING, "2 functions of JOBS"),
    ],
)
def test_how_many_are_broken_is_said(module: str, says: str, outfit: Outfit) -> None:
    outfit.write(module)
    with pytest.raises(FunctionsNotLoaded, match=f"^{says}, TASKS and AROUND can't be loaded:"):
        outfit.registry().resolve_all()


def test_a_module_without_a_file_is_named_by_its_name() -> None:
    place = r"\(tests/engine/registry/test_function_names.py, line \d+\)"
    says = rf"{place}.* time does not define sleeep; did you mean"
    with pytest.raises(FunctionNotLoaded, match=says):
        Task("time:sleeep").load()


def test_a_module_of_a_package_without_a_file_is_named_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bare_outfit").mkdir()
    (tmp_path / "bare_outfit" / "letters.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(FunctionNotLoaded, match=r"letters.py, line 1: ZeroDivisionError"):
        Task("bare_outfit.letters:note").load()


def test_a_module_that_is_not_there_is_named(outfit: Outfit) -> None:
    outfit.write(
        'from job_runners.work import Job\nJOBS = {"x": Job("outfit.lettres:count")}', "__init__"
    )
    with pytest.raises(
        FunctionsNotLoaded, match=r"__init__.py, line 2.*no module outfit\.lettres\. Cor"
    ):
        outfit.registry().resolve_all()


def test_every_entry_that_ships_can_be_loaded() -> None:
    registry().resolve_all()


@pytest.mark.parametrize("entry", ["outfit.letters.count", "outfit:", ":count", "a b:c", "a:b.c"])
def test_a_text_that_can_name_no_function_is_refused_at_once(entry: str) -> None:
    for kind in (Job, Task):
        with pytest.raises(InvalidDefinition, match=r"as 'package\.module:function'"):
            kind(entry)


# --- in a stack whose deploy is broken ------------------------------------------------------------


def test_a_job_that_can_not_be_loaded_is_not_claimed_and_waits(
    bench: Bench, with_outfit: Outfit
) -> None:
    row = letters(bench)
    with_outfit.write(MISSING)
    row = bench.run(row)
    assert (row.status, row.invocations, row.attempt) == (Status.QUEUED, 0, 1)
    assert row.due_at is not None
    with_outfit.write(GOOD)  # the next deploy
    bench.advance(120)
    bench.tick()
    assert bench.deliver() == 1
    assert bench.read(row).status is Status.SUCCEEDED


def test_one_that_never_started_fails_as_that(bench: Bench, with_outfit: Outfit) -> None:
    row = letters(bench)
    with_outfit.write(MISSING)
    bench.run(row)
    bench.advance(clock.DAY / clock.SECOND + 60)
    bench.tick()
    bench.deliver()
    failed = bench.read(row)
    assert failed.status is Status.FAILED
    assert failed.error is not None
    assert failed.error["kind"] == "NeverStarted"


def test_one_that_had_begun_fails_of_it_in_the_end_and_says_so(
    bench: Bench, with_outfit: Outfit
) -> None:
    over = "from job_runners.work import interrupts; raise interrupts.InvocationOverInterrupt"
    invocation = f"    if job.invocation == 1: {over}\n"
    with_outfit.write(GOOD.replace("    return {", invocation + "    return {"))
    row = bench.run(letters(bench))
    assert (row.status, row.invocations) == (Status.QUEUED, 1)
    with_outfit.write(MISSING)
    bench.sent.clear()
    for _ in range(40):  # looked at more and more rarely, and at least once an hour
        bench.advance(3600)
        bench.tick()
        bench.deliver()
    failed = bench.read(row)
    assert failed.status is Status.FAILED
    assert failed.error is not None
    assert failed.error["kind"] == "FunctionNotLoaded"
    assert "No module named 'no_such_distribution'" in failed.error["message"]
    assert failed.attempt == 1  # another attempt would help no more


def test_a_task_that_can_not_be_loaded_is_kept_until_it_can(
    bench: Bench, with_outfit: Outfit
) -> None:
    message = TaskMessage(id="t", name="letter_note", payload={"text": "abc"})
    with_outfit.write(MISSING)
    with pytest.raises(FunctionNotLoaded) as raised:
        execution.run(message, deadline=clock.now() + 60_000, send=bench.send)
    record = {
        "requestContext": {"condition": "RetriesExhausted", "approximateInvokeCount": 1},
        "requestPayload": {"v": 1, "kind": "task", **message._asdict()},
        "responsePayload": {"errorType": type(raised.value).__name__, "errorMessage": "no"},
    }
    with pytest.raises(
        FunctionNotLoaded
    ):  # its record goes back to the queue, then to dead letters
        failure_records.handle_record(record, bench.send)
    with_outfit.write(GOOD)
    failure_records.handle_record(record, bench.send)
    assert bench.sent_tasks == [message]


def test_the_api_refuses_what_it_can_not_check_and_lists_the_rest(
    bench: Bench, with_outfit: Outfit
) -> None:
    with_outfit.write(MISSING)
    refused = call("POST", "/jobs", body={"job_type": "letters", "payload": {"text": "abc"}})
    assert (refused.status, refused.json["type"]) == (500, "urn:job-runners:unexpected")
    assert "no_such_distribution" not in str(refused.json)
    listed = call("GET", "/job-types").json
    names = {each["name"] for each in listed["jobs"]}
    assert "post_webhook" in names
    assert "letters" not in names
    assert call("GET", "/openapi.json").status == 200
    assert not registry().jobs["letters"].__dict__.get("call")


def test_nothing_is_lost_when_workers_can_not_load_the_work() -> None:
    faults = frozenset({Fault.DEPLOYS})
    with simulated_aws():
        for seed in range(by_size(10, 40)):
            play_seed(seed, faults)
