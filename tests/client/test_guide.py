"""Every snippet of two guides about the client, run against the real API over HTTP."""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any
from unittest.mock import ANY, Mock

import pytest
import yaml
from pydantic import BaseModel

import sample_work
from api_server import ApiServer
from job_runners import Client
from job_runners.aws import bucket
from job_runners.building.build import ROOT
from job_runners.client import stack_outputs, uploads
from job_runners.work import Job, RunningJob, Unique
from stale_reads import catch_up

PAGE = "".join(
    (ROOT / "docs/guides" / name).read_text()
    for name in ("calling_from_your_product.md", "many_jobs.md", "batches.md")
)
FOUND = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
# Whole files of examples/, which tests/client/test_examples.py runs.
FILES = [
    (ROOT / "examples" / name).read_text()
    for name in ("fastapi_app/main.py", "django_app/exports/views.py")
]
# What runs in a stack: the test of a job at the end.
OF_A_JOB = [each for each in FOUND if "RunningJob" in each]
SNIPPETS = [each for each in FOUND if each not in FILES and each not in OF_A_JOB]
# What each prints, told apart by what only it has.
PRINTED = {
    "on_progress": "100%\n8\n",
    "client.upload": "1\n",
    "dispatch_batch": "succeeded 2 ['succeeded', 'succeeded']\n",
    "dispatch_many": "0 queued\n1 queued\n2 queued\n",
    "def handler": "",
    "def on_upload": "",
    "from flask": "",
    "NoAnswer": "saved\n",
    "ThreadPoolExecutor": "[3, 5, 4]\n",
    "asyncio": "{'letters': 3}\n",
    "UniqueConflict": "a new job\n",
    "put_schedule": "nightly at 02:00 every day, Europe/Berlin None\n",
    'status="failed"': "RuntimeError",
    "job = client.wait(client.dispatch": "{'letters': 8}\n",
}


class Words(BaseModel):
    words: list[str]


def count_letters(job: RunningJob, payload: Words) -> dict[str, int]:
    if payload.words == ["five"]:
        raise RuntimeError("out of fingers")
    return {"letters": sum(map(len, payload.words))}


class People(BaseModel):
    key: str


def import_people(job: RunningJob, payload: People) -> dict[str, int]:
    return {"imported": len(job.read_file(payload.key).splitlines()) - 1}


class Object(BaseModel):
    bucket: str
    key: str


def read_object(job: RunningJob, payload: Object) -> None:
    """Do nothing."""


class Flask:
    """Takes what the page says to Flask, and leaves the functions as they are."""

    def __init__(self, name: str) -> None:
        self.get = self.post = self.errorhandler = lambda _: lambda function: function


@pytest.fixture
def uploaded(api_server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Let every stack be found, have the README's job, and take files: these."""
    found = stack_outputs.Outputs(api_server.url, "bucket")
    monkeypatch.setattr(stack_outputs, "find_outputs", lambda *_: found)
    files: dict[str, bytes] = {}

    def put(_: object, source: bytes, key: str) -> None:
        files[key] = source
        bucket.put_bytes(key, source)

    monkeypatch.setattr(uploads.Uploads, "put", put)
    monkeypatch.setitem(sample_work.JOBS, "count_letters", Job(count_letters))
    monkeypatch.setitem(sample_work.JOBS, "import_people", Job(import_people))
    monkeypatch.setitem(sys.modules, "flask", flask := ModuleType("flask"))
    flask.Flask, flask.request = Flask, Mock()  # type: ignore[attr-defined]
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("JOB_RUNNERS_URL", api_server.url)
    return files


def test_each_snippet_is_an_example_or_run_below() -> None:
    assert [each for each in FOUND if each in FILES] == FILES
    told = [next(mark for mark in PRINTED if mark in each) for each in SNIPPETS]
    assert sorted(told) == sorted(PRINTED)


@pytest.mark.parametrize("mark", PRINTED)
def test_a_snippet_runs(
    mark: str,
    uploaded: dict[str, bytes],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [code] = [each for each in SNIPPETS if next(name for name in PRINTED if name in each) == mark]
    client = Client()
    if mark == 'status="failed"':
        failed = client.wait(client.dispatch("count_letters", {"words": ["five"]}), timeout=60)
        assert failed.error is not None
    names: dict[str, Any] = {}
    capsys.readouterr()
    catch_up()
    with ThreadPoolExecutor(1) as pool:  # Playwright's loop may run in the tests' thread
        pool.submit(exec, compile(code, mark, "exec"), names).result()
    printed = capsys.readouterr().out
    if mark == "def handler":
        record = {"messageId": "m-1", "body": "one"}
        names["handler"]({"Records": [record, record]}, None)
        job = client.find(idempotency_key="m-1")
        assert job is not None
        catch_up()
        assert len(list(client.list())) == 1
        assert client.wait(job, timeout=60).get_result() == {"letters": 3}
    elif mark == "def on_upload":
        monkeypatch.setitem(sample_work.JOBS, "read_object", Job(read_object))
        records = [
            {
                "s3": {
                    "bucket": {"name": "incoming"},
                    "object": {"key": "a+b/%C3%BC.mp4", "sequencer": sequencer},
                }
            }
            for sequencer in ("01", "02", "02")
        ]
        names["on_upload"]({"Records": records}, None)
        catch_up()
        jobs = [client.get(each.id) for each in client.list(job_type="read_object")]
        assert [job.payload for job in jobs] == [{"bucket": "incoming", "key": "a b/ü.mp4"}] * 2
    elif mark == "from flask":
        request = names["request"]
        request.headers, request.json = {"Idempotency-Key": "f-1"}, {"words": ["one"]}
        starts = [names["start_count"]() for _ in range(2)]
        assert starts[0] == starts[1] == ({"id": ANY}, 202)
        shown = names["show_count"](starts[0][0]["id"])
        assert shown == {"status": "succeeded", "progress": 100, "result": {"letters": 3}}
    elif mark == 'status="failed"':
        assert "out of fingers" in printed
    else:
        assert printed == PRINTED[mark]
    if mark == "client.upload":
        assert [*uploaded] == ["uploads/acme/may.csv"]


def test_where_a_rule_refuses_the_snippet_has_the_job_in_the_way(
    uploaded: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    unique = Job(count_letters, unique=Unique(by=(), on_conflict="refuse"))
    monkeypatch.setitem(sample_work.JOBS, "count_letters", unique)
    first = Client().dispatch("count_letters", {"words": ["two"]}, delay=3600)
    [code] = [each for each in SNIPPETS if "UniqueConflict" in each]
    names: dict[str, Any] = {}
    exec(compile(code, "unique", "exec"), names)
    assert names["job"].id == first.id
    assert capsys.readouterr().out.endswith("it is scheduled already\n")


def test_the_statement_that_a_function_needs_is_one_of_a_template() -> None:
    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Reads CloudFormation's short forms."""

    Loader.add_multi_constructor("!", lambda loader, _, node: loader.construct_scalar(node))
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    [policy] = yaml.load(text, Loader)["Policies"]
    [statement] = policy["Statement"]
    assert statement["Action"] == "execute-api:Invoke"
    assert statement["Resource"].endswith(":${ApiId}/*")


def test_the_job_of_the_guide_dispatches_its_children(
    uploaded: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_jobs("count_all", monkeypatch)
    client = Client()
    parent = client.wait(client.dispatch("count_all", {"texts": ["one two", "three"]}))
    assert parent.get_result() == {"dispatched": 2}
    results = {each.key: client.wait(each.id).get_result() for each in client.children(parent.id)}
    assert results == {"one two": {"letters": 6}, "three": {"letters": 5}}


def test_the_last_job_of_a_batch_in_the_guide_gets_its_numbers(
    uploaded: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_jobs("build_album", monkeypatch)
    client = Client()
    members = [{"job_type": "count_letters", "payload": {"words": ["five"]}}]
    then = {"job_type": "build_album", "payload": {"album": 7}}
    batch = client.wait_batch(client.dispatch_batch(members, then=then))
    assert batch.then_id is not None
    assert client.wait(batch.then_id).get_result() == "album 7: 0 of 1 images"


def use_jobs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the job of a guide to the app."""
    (code,) = (each for each in OF_A_JOB if f'JOBS = {{"{name}"' in each)
    found: dict[str, Any] = {}
    exec(compile(code, "guide", "exec"), found)
    monkeypatch.setitem(sample_work.JOBS, name, found["JOBS"][name])
