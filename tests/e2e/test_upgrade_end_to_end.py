"""Deploys of other work while jobs run and wait. No job is lost, and each is shown as it is."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk import trace

from deployed_versions import ORGANIZATION, PATIENCE, DeployedVersions
from job_runners import clock

# After the others on a local AWS, and not beside them: it starts one of its own.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("local AWS")]

# The result names the version that ran. The job waits for a file if its payload names one.
LETTERS = """
import pathlib, time
from pydantic import BaseModel

class Letters(BaseModel):
    wait_for: str = ""
    fails: bool = False

def letters(job, payload: Letters):
    while payload.wait_for and not pathlib.Path(payload.wait_for).exists():
        time.sleep(0.02)
    if payload.fails and job.attempt == 1:
        raise OSError("out of paper")
    return {{"by": "{version}"}}
"""
WORK_BEFORE = {
    "acme/__init__.py": """
from job_runners.work import Job, Queue, Retry

JOBS = {
    "letters": Job("acme.letters:letters", retry=Retry(max_attempts=3, base=3600, cap=3600)),
    "paused_letters": Job("acme.letters:letters", queue_name="post"),
    "survey": Job("acme.letters:letters"),
    "card": Job("acme.models:card"),
    "bill": Job("acme.models:bill"),
}
QUEUES = {"post": Queue(slots=2)}
""",
    "acme/letters.py": LETTERS.format(version="before"),
    "acme/models.py": """
from pydantic import BaseModel

class Card(BaseModel):
    to: str

class Bill(BaseModel):
    to: str

def card(job, payload: Card):
    return {"to": payload.to}

def bill(job, payload: Bill):
    return {"to": payload.to}
""",
}
# The module has moved, the survey is gone, the queue has one slot; a card may have a style, a bill
# must have an amount.
# And its own code sets OpenTelemetry up: spans go to a file.
WORK_AFTER = {
    "acme/__init__.py": """
import acme.spans
from job_runners.work import Job, Queue, Retry

JOBS = {
    "letters": Job("acme.writing:letters", retry=Retry(max_attempts=3, base=3600, cap=3600)),
    "paused_letters": Job("acme.writing:letters", queue_name="post"),
    "card": Job("acme.models:card"),
    "bill": Job("acme.models:bill"),
}
QUEUES = {"post": Queue(slots=1)}
""",
    "acme/writing.py": LETTERS.format(version="after"),
    "acme/spans.py": """
import json
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

exporter = ConsoleSpanExporter(
    out=open({file!r}, "a", buffering=1),
    formatter=lambda span: json.dumps(json.loads(span.to_json())) + "\\n",
)
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
""",
    "acme/models.py": """
from pydantic import BaseModel

class Card(BaseModel):
    to: str
    style: str = "plain"

class Bill(BaseModel):
    to: str
    amount: int

def card(job, payload: Card):
    return {"to": payload.to, "style": payload.style}

def bill(job, payload: Bill):
    return {"to": payload.to, "amount": payload.amount}
""",
}
WORK_NEXT = {**WORK_BEFORE, "acme/letters.py": LETTERS.format(version="next")}

# OpenTelemetry's SDK, as requirements of an organisation's own would have it.
OTEL = sorted(Path(trace.__file__).parents[3].glob("opentelemetry*"))


def test_a_stack_is_updated_and_taken_back_while_its_jobs_run(
    versions: DeployedVersions, tmp_path: Path
) -> None:
    versions.deploy("before", WORK_BEFORE)
    go, go_back = tmp_path / "go", tmp_path / "go-back"
    assert versions.api.put("/paused/job_type/paused_letters", {}).status == 200
    paused = versions.dispatch("paused_letters")
    done = versions.reach(versions.dispatch("letters"))
    running = [posted_letter(versions, go), posted_letter(versions, go)]
    for each in running:
        versions.reach(each, "running")
    waiting = posted_letter(versions, go)
    versions.reach(waiting, "waiting")
    scheduled = versions.dispatch("letters", delay=3600)
    failing = versions.dispatch("letters", {"fails": True})
    versions.reach(failing, "retryable")
    versions.reach(paused, "waiting")

    versions.deploy("next", WORK_NEXT)
    assert versions.job(done["id"])["result"] == {"by": "before"}
    for each in (scheduled, failing):
        versions.as_if_earlier(each, clock.HOUR)
        assert versions.reach(each)["result"] == {"by": "next"}
    assert versions.job(failing)["attempt"] == 2
    go.touch()
    for each in running:
        assert versions.reach(each)["result"] == {"by": "before"}  # the code that it began on
    assert versions.reach(waiting)["result"] == {"by": "next"}
    assert versions.api.delete("/paused/job_type/paused_letters").status == 204
    assert versions.reach(paused)["result"] == {"by": "next"}
    holders = [posted_letter(versions, go_back), posted_letter(versions, go_back)]
    for each in holders:
        versions.reach(each, "running")
    limited = posted_letter(versions, go_back)
    versions.reach(limited, "waiting")
    later = versions.dispatch("letters", delay=3600)

    versions.deploy("back", WORK_BEFORE)
    versions.as_if_earlier(later, clock.HOUR)
    assert versions.reach(later)["result"] == {"by": "before"}
    go_back.touch()
    for each in holders:
        assert versions.reach(each)["result"] == {"by": "next"}
    assert versions.reach(limited)["result"] == {"by": "before"}


@pytest.mark.more
def test_models_types_modules_and_slots_change_while_jobs_run_and_wait(
    versions: DeployedVersions, tmp_path: Path
) -> None:
    versions.deploy("before", WORK_BEFORE)
    gates = [tmp_path / f"go-{number}" for number in range(3)]
    posted = [posted_letter(versions, go) for go in gates[:2]]
    for each in posted:
        versions.reach(each, "running")
    posted.append(posted_letter(versions, gates[2]))  # now, for three messages may overtake
    versions.reach(posted[2], "waiting")
    moved = versions.dispatch("letters", delay=3600)
    survey = versions.dispatch("survey", delay=3600)
    card, bill = (versions.dispatch(name, {"to": "Ann"}, delay=3600) for name in ("card", "bill"))

    deploy_after(versions)
    for each in (moved, survey, card, bill):
        versions.as_if_earlier(each, clock.HOUR)
    assert versions.reach(moved)["result"] == {"by": "after"}
    # The first work of a new process is traced too, although its own code sets OpenTelemetry up.
    spans_with_attempts(versions.home / "spans", moved, 1)
    assert versions.reach(card)["result"] == {"to": "Ann", "style": "plain"}

    # The bill was claimed and given back, for a deploy that can read it: nothing is counted.
    given_back = versions.reach(bill, "queued")
    assert (given_back["attempt"], given_back["invocations"], given_back["error"]) == (1, 0, None)
    versions.as_if_earlier(bill, clock.HOUR)
    refused = versions.reach(bill)
    assert (refused["status"], refused["error"]["kind"]) == ("failed", "InvalidPayload")
    assert "amount" in refused["error"]["message"]

    # Nobody has tried the survey. Its owner may dispatch no other, and may cancel this one.
    assert versions.job(survey)["status"] == "scheduled"
    versions.as_if_earlier(survey, clock.DAY)
    never = versions.reach(survey)
    assert (never["status"], never["error"]["kind"], never["invocations"]) == (
        "failed",
        "NeverStarted",
        0,
    )
    assert "This deploy has no job type 'survey'" in never["error"]["message"]

    for each, go in zip(posted, gates, strict=True):
        go.touch()
        versions.reach(each)
    assert [versions.job(each)["result"]["by"] for each in posted] == ["before", "before", "after"]
    go = tmp_path / "go-on"
    first = posted_letter(versions, go)
    versions.reach(first, "running")
    versions.reach(posted_letter(versions, go), "waiting")  # the queue has one slot now
    go.touch()
    versions.reach(first)


def deploy_after(versions: DeployedVersions) -> None:
    """Deploy WORK_AFTER, with traces."""
    spans = WORK_AFTER["acme/spans.py"].format(file=str(versions.home / "spans"))
    versions.deploy("after", WORK_AFTER | {"acme/spans.py": spans}, OTEL, Traces="true")


@pytest.mark.more
def test_a_deploy_has_switched_traces_on_and_one_leads_from_a_request_to_the_attempts(
    versions: DeployedVersions,
) -> None:
    trace_id = f"{time.time_ns():032x}"
    body = {"job_type": "letters", "organization_id": ORGANIZATION, "payload": {"fails": True}}
    traceparent = f"00-{trace_id}-00f067aa0ba902b7-01"
    answer = versions.api.post("/jobs", body, headers={"traceparent": traceparent})
    job_id = answer.json["id"]
    versions.reach(job_id, "retryable")
    versions.as_if_earlier(job_id, clock.HOUR)
    versions.reach(job_id)
    spans = spans_with_attempts(versions.home / "spans", job_id, 2)
    ours = [each for each in spans if each["context"]["trace_id"] == f"0x{trace_id}"]
    assert {each["name"] for each in ours} == {"send letters", "POST /jobs", "process letters"}
    assert len(ours) == 3
    by_name = {each["name"]: each for each in ours}
    assert by_name["POST /jobs"]["parent_id"] == "0x00f067aa0ba902b7"
    for parent, child in (("POST /jobs", "send letters"), ("send letters", "process letters")):
        assert by_name[child]["parent_id"] == by_name[parent]["context"]["span_id"]
    # The second attempt waited for the timer: a trace of its own, with a link to the dispatch.
    dispatched = by_name["send letters"]["context"]["span_id"]
    (second,) = (each for each in spans if links_of(each) == [dispatched])
    assert second["attributes"]["job_runners.attempt"] == 2
    assert second["attributes"]["job_runners.outcome"] == "succeeded"


def spans_with_attempts(file: Path, job_id: str, count: int) -> list[dict[str, Any]]:
    """Return all spans, once those of so many attempts of a job are written.

    A worker records an attempt in the row before the attempt's span ends.
    """
    until = time.monotonic() + PATIENCE
    while True:
        spans = [json.loads(line) for line in file.read_text().splitlines()]
        of_job = [each["name"] for each in spans if job_id in each["attributes"].values()]
        if of_job.count("process letters") >= count:
            return spans
        assert time.monotonic() < until, of_job
        time.sleep(0.1)


def links_of(span: dict[str, Any]) -> list[str]:
    return [link["context"]["span_id"] for link in span["links"]]


def posted_letter(versions: DeployedVersions, go: Path) -> str:
    return versions.dispatch("letters", {"wait_for": str(go)}, queue_name="post")
