"""Every snippet of the pages for callers, run against the real API over HTTP."""

import asyncio
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any
from unittest.mock import ANY, Mock

import pytest
import yaml
from mangum import Mangum
from pydantic import BaseModel

import sample_work
from api_server import ApiServer
from example_apps import FastApiApp
from job_runners import Client
from job_runners.client import stack_outputs
from job_runners.places import ROOT
from job_runners.work import Job, RunningJob
from stale_reads import catch_up

PAGE = "".join(
    (ROOT / "docs" / name).read_text()
    for name in ("integrate/client.md", "integrate/frameworks.md", "build/fan_out.md")
)
FOUND = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
# What runs in a stack.
OF_A_JOB = [each for each in FOUND if "RunningJob" in each]
SNIPPETS = [each for each in FOUND if each not in OF_A_JOB]
# What each prints, told apart by what only it has.
PRINTED = {
    "on_progress": "100%\n8\n",
    "dispatch_batch": "succeeded 2 ['succeeded', 'succeeded']\n",
    "dispatch_many": "0 queued\n1 queued\n2 queued\n",
    "def handler": "",
    "from fastapi": "",
    "from flask": "",
    "NoAnswer": "saved\n",
    "job = client.wait(client.dispatch": "{'letters': 8}\n",
}


class Words(BaseModel):
    words: list[str]


def count_letters(job: RunningJob, payload: Words) -> dict[str, int]:
    if payload.words == ["five"]:
        raise RuntimeError("no luck")
    return {"letters": sum(map(len, payload.words))}


class Flask:
    """Takes what the page says to Flask, and leaves the functions as they are."""

    def __init__(self, name: str) -> None:
        self.get = self.post = self.errorhandler = lambda _: lambda function: function


@pytest.fixture(autouse=True)
def stack(api_server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every stack be found, and have the README's job."""
    found = stack_outputs.Outputs(api_server.url, "bucket")
    monkeypatch.setattr(stack_outputs, "find_outputs", lambda *_: found)
    monkeypatch.setitem(sample_work.JOBS, "count_letters", Job(count_letters))
    monkeypatch.setitem(sys.modules, "flask", flask := ModuleType("flask"))
    flask.Flask, flask.request, flask.abort = Flask, Mock(), Mock()  # type: ignore[attr-defined]
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("JOB_RUNNERS_URL", api_server.url)


def run(mark: str) -> dict[str, Any]:
    """Run the snippet with this mark, and return its names."""
    [code] = [each for each in SNIPPETS if next(name for name in PRINTED if name in each) == mark]
    names: dict[str, Any] = {}
    catch_up()
    with ThreadPoolExecutor(1) as pool:  # Playwright's loop may run in the tests' thread
        pool.submit(exec, compile(code, mark, "exec"), names).result()
    return names


def test_each_snippet_is_run_below() -> None:
    told = [next(mark for mark in PRINTED if mark in each) for each in SNIPPETS]
    assert sorted(told) == sorted(PRINTED)


@pytest.mark.parametrize("mark", PRINTED)
def test_a_snippet_prints_what_its_page_says(mark: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    run(mark)
    assert capsys.readouterr().out == PRINTED[mark]


def test_a_message_that_comes_twice_is_one_job() -> None:
    record = {"messageId": "m-1", "body": "one"}
    run("def handler")["handler"]({"Records": [record, record]}, None)
    client = Client()
    job = client.find(idempotency_key="m-1")
    assert job is not None
    catch_up()
    assert len(list(client.list())) == 1
    assert client.wait(job, timeout=60).get_result() == {"letters": 3}


def test_flask_starts_a_job_once_and_shows_it_to_its_organization() -> None:
    names = run("from flask")
    request = names["request"]
    request.headers, request.json = {"Idempotency-Key": "f-1"}, {"words": ["one"]}
    starts = [names["start_count"]() for _ in range(2)]
    assert starts[0] == starts[1] == ({"id": ANY}, 202)
    shown = names["show_count"](starts[0][0]["id"])
    assert shown == {"status": "succeeded", "progress": 100, "result": {"letters": 3}}
    names["abort"].assert_not_called()
    others = Client(organization_id="another").dispatch("count_letters", request.json)
    names["show_count"](others.id)
    names["abort"].assert_called_once_with(404)


def test_fastapi_starts_a_job_once_and_shows_it_to_its_organization() -> None:
    names = run("from fastapi")
    words = {"words": ["one"]}
    loop = asyncio.new_event_loop()  # Mangum would make one, and leave it open
    with ThreadPoolExecutor(1, initializer=asyncio.set_event_loop, initargs=(loop,)) as pool:
        handler: Any = pool.submit(Mangum, names["app"], "off").result()
        app = FastApiApp(handler)

        def answer(*request: Any) -> tuple[int, Any]:
            return pool.submit(app.call, *request).result()

        starts = [answer("POST", "/counts", words, "k-1") for _ in range(2)]
        assert [status for status, _ in starts] == [202, 202]
        assert starts[0][1]["id"] == starts[1][1]["id"]
        status, shown = answer("GET", f"/counts/{starts[0][1]['id']}")
        assert (status, shown["status"], shown["result"]) == (200, "succeeded", {"letters": 3})
        others = Client(organization_id="another").dispatch("count_letters", words)
        assert answer("GET", f"/counts/{others.id}")[0] == 404
        assert answer("GET", "/counts/unknown")[0] == 404
        assert answer("POST", "/counts", {"words": ["two"]}, "k-1")[0] == 409
        names["client"] = Client(url="http://127.0.0.1:9", max_attempts=1)
        assert answer("POST", "/counts", words, "k-1") == (503, {"detail": "Try again."})
    loop.close()


def test_the_statement_that_a_function_needs_is_one_of_a_template() -> None:
    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Reads CloudFormation's short forms."""

    Loader.add_multi_constructor("!", lambda loader, _, node: loader.construct_scalar(node))
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    [policy] = yaml.load(text, Loader)["Policies"]
    [statement] = policy["Statement"]
    assert statement["Action"] == "execute-api:Invoke"
    assert statement["Resource"].endswith(":${ApiId}/*")


def test_the_job_of_the_guide_dispatches_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    use_jobs("start_all", monkeypatch)
    client = Client()
    parent = client.wait(client.dispatch("start_all", {"texts": ["one two", "three"]}))
    assert parent.get_result() == {"dispatched": 2}
    results = {each.key: client.wait(each.id).get_result() for each in client.children(parent.id)}
    assert results == {"one two": {"letters": 6}, "three": {"letters": 5}}


def test_the_last_job_of_a_batch_in_the_guide_gets_its_numbers(
    monkeypatch: pytest.MonkeyPatch,
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
