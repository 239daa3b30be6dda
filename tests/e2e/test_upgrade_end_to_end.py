"""Deploys of another version in the middle of running work: nothing is lost, and each job is told
as what it is."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk import trace

from deployed_versions import ORGANIZATION, DeployedVersions
from job_runners import clock
from job_runners.settings import APP_PACKAGES_FILE

# After the others on a local AWS, and not beside them: it starts one of its own.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("local AWS")]

# Whoever runs it says which version it is of. It waits for a file if it was told of one.
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
# As version 0.1.0 was added to: in its own table.
WORK_OF_0_1_0 = {
    "jobs/letters.py": LETTERS.format(version="0.1.0"),
    "+jobs/table.py": """
from jobs.letters import letters
JOBS["letters"] = Job(letters, retry=Retry(max_attempts=3, base=3600, cap=3600))
JOBS["paused_letters"] = Job(letters)
""",
}
# Moved into an organisation's own package. Their queue has limits now.
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


# With a queue of its own, and as version 0.2.0 imports it.
WORK_TODAY = {
    **WORK_BEFORE,
    "acme/__init__.py": WORK_BEFORE["acme/__init__.py"].replace(
        '"post": Queue(slots=2)', '"mail": Queue(slots=1)'
    ),
}
WORK_OF_0_2_0 = {
    APP_PACKAGES_FILE: "acme\n",
    **{
        name: text.replace("from job_runners.work", "from work")
        for name, text in WORK_TODAY.items()
    },
    "acme/letters.py": LETTERS.format(version="0.2.0"),
}

# OpenTelemetry's SDK, as requirements of an organisation's own would have it.
OTEL = sorted(Path(trace.__file__).parents[3].glob("opentelemetry*"))


@pytest.mark.more
def test_a_stack_of_0_1_0_is_updated_while_its_jobs_run(
    versions: DeployedVersions, tmp_path: Path
) -> None:
    versions.deploy_release("0.1.0", WORK_OF_0_1_0)
    go = tmp_path / "go"
    assert versions.local.api.put("/paused/job_type/paused_letters", {}).status == 200
    running = versions.dispatch("letters", {"wait_for": str(go)})
    scheduled = versions.dispatch("letters", delay=3600)
    failing = versions.dispatch("letters", {"fails": True})
    paused = versions.dispatch("paused_letters")
    done = versions.ended(versions.dispatch("letters"))
    assert versions.wait_until(running, "running")["result"] is None
    versions.wait_until(failing, "retryable")
    versions.wait_until(paused, "waiting")
    assert "unfinished" not in indexes(versions)

    versions.deploy_today("before", WORK_BEFORE)
    assert "unfinished" in indexes(versions)
    assert versions.job(done["id"])["result"] == {"by": "0.1.0"}
    go.touch()
    assert versions.ended(running)["result"] == {"by": "0.1.0"}  # the code that it began on
    for each in (scheduled, failing):
        versions.as_if_earlier(each, clock.HOUR)
        assert versions.ended(each)["result"] == {"by": "before"}
    assert versions.job(failing)["attempt"] == 2
    assert versions.local.api.delete("/paused/job_type/paused_letters").status == 204
    assert versions.ended(paused)["result"] == {"by": "before"}


@pytest.mark.more
def test_models_types_modules_and_slots_change_while_jobs_run_and_wait(
    versions: DeployedVersions, tmp_path: Path
) -> None:
    gates = [tmp_path / f"go-{number}" for number in range(3)]
    posted = [posted_letter(versions, go) for go in gates[:2]]
    for each in posted:
        versions.wait_until(each, "running")
    posted.append(posted_letter(versions, gates[2]))  # now, for three messages may overtake
    versions.wait_until(posted[2], "waiting")
    moved = versions.dispatch("letters", delay=3600)
    survey = versions.dispatch("survey", delay=3600)
    card, bill = (versions.dispatch(name, {"to": "Ann"}, delay=3600) for name in ("card", "bill"))

    deploy_after(versions)
    for each in (moved, survey, card, bill):
        versions.as_if_earlier(each, clock.HOUR)
    assert versions.ended(moved)["result"] == {"by": "after"}
    assert versions.ended(card)["result"] == {"to": "Ann", "style": "plain"}

    # The bill was claimed and given back, for a deploy that can read it: nothing is counted.
    given_back = versions.wait_until(bill, "queued")
    assert (given_back["attempt"], given_back["legs"], given_back["error"]) == (1, 0, None)
    versions.as_if_earlier(bill, clock.HOUR)
    refused = versions.ended(bill)
    assert (refused["status"], refused["error"]["kind"]) == ("failed", "InvalidPayload")
    assert "amount" in refused["error"]["message"]

    # Nobody has tried the survey. Its owner may dispatch no other, and may cancel this one.
    assert versions.job(survey)["status"] == "scheduled"
    versions.as_if_earlier(survey, clock.DAY)
    never = versions.ended(survey)
    assert (never["status"], never["error"]["kind"], never["legs"]) == ("failed", "NeverStarted", 0)
    assert "This deploy has no job type 'survey'" in never["error"]["message"]

    for each, go in zip(posted, gates, strict=True):
        go.touch()
        versions.ended(each)
    assert [versions.job(each)["result"]["by"] for each in posted] == ["before", "before", "after"]
    go = tmp_path / "go-on"
    first = posted_letter(versions, go)
    versions.wait_until(first, "running")
    versions.wait_until(posted_letter(versions, go), "waiting")  # the queue has one slot now
    go.touch()
    versions.ended(first)


def deploy_after(versions: DeployedVersions) -> None:
    """Deploy WORK_AFTER, with traces."""
    spans = WORK_AFTER["acme/spans.py"].format(file=str(versions.home / "spans"))
    versions.deploy_today("after", WORK_AFTER | {"acme/spans.py": spans}, OTEL, Traces="true")


@pytest.mark.more
def test_a_deploy_has_switched_traces_on_and_one_leads_from_a_request_to_the_attempts(
    versions: DeployedVersions,
) -> None:
    trace_id = f"{time.time_ns():032x}"
    body = {"job_type": "letters", "organization_id": ORGANIZATION, "payload": {"fails": True}}
    traceparent = f"00-{trace_id}-00f067aa0ba902b7-01"
    answer = versions.local.api.post("/jobs", body, headers={"traceparent": traceparent})
    job_id = answer.json["id"]
    versions.wait_until(job_id, "retryable")
    versions.as_if_earlier(job_id, clock.HOUR)
    versions.ended(job_id)
    spans = [json.loads(line) for line in (versions.home / "spans").read_text().splitlines()]
    ours = [each for each in spans if each["context"]["trace_id"] == f"0x{trace_id}"]
    names = [each["name"] for each in ours]
    assert names == ["send letters", "POST /jobs", "process letters"]
    by_name = {each["name"]: each for each in ours}
    assert by_name["POST /jobs"]["parent_id"] == "0x00f067aa0ba902b7"
    for parent, child in (("POST /jobs", "send letters"), ("send letters", "process letters")):
        assert by_name[child]["parent_id"] == by_name[parent]["context"]["span_id"]
    # The second attempt waited for the timer: a trace of its own, with a link to the dispatch.
    dispatched = by_name["send letters"]["context"]["span_id"]
    (second,) = (each for each in spans if links_of(each) == [dispatched])
    assert second["attributes"]["job_runners.attempt"] == 2
    assert second["attributes"]["job_runners.outcome"] == "succeeded"


def links_of(span: dict[str, Any]) -> list[str]:
    return [link["context"]["span_id"] for link in span["links"]]


def posted_letter(versions: DeployedVersions, go: Path, queue_name: str = "post") -> str:
    return versions.dispatch("letters", {"wait_for": str(go)}, queue_name=queue_name)


@pytest.mark.more
def test_a_rollback_to_0_1_0_runs_what_it_understands_and_leaves_the_rest(
    versions: DeployedVersions, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    holder = posted_letter(versions, go)
    versions.wait_until(holder, "running")
    limited = posted_letter(versions, go)
    versions.wait_until(limited, "waiting")
    plain = versions.dispatch("letters", delay=3600)

    versions.deploy_release("0.1.0", WORK_OF_0_1_0)
    assert "unfinished" not in indexes(versions)
    versions.as_if_earlier(plain, clock.HOUR)
    assert versions.ended(plain)["result"] == {"by": "0.1.0"}
    go.touch()
    assert versions.ended(holder)["result"] == {"by": "after"}  # which has let the next on
    versions.as_if_earlier(limited, clock.HOUR)
    time.sleep(5)
    assert versions.job(limited)["status"] in ("queued", "waiting")
    assert versions.job(limited)["legs"] == 0


def test_a_stack_of_0_2_0_is_updated_and_taken_back_while_its_jobs_run(
    versions: DeployedVersions, tmp_path: Path
) -> None:
    versions.deploy_release("0.2.0", WORK_OF_0_2_0)
    go, go_back = tmp_path / "go", tmp_path / "go-back"
    running = posted_letter(versions, go, "mail")
    versions.wait_until(running, "running")
    waiting = posted_letter(versions, go, "mail")
    versions.wait_until(waiting, "waiting")
    scheduled = versions.dispatch("letters", delay=3600)
    failing = versions.dispatch("letters", {"fails": True})
    versions.wait_until(failing, "retryable")

    versions.deploy_today("today", WORK_TODAY)
    for each in (scheduled, failing):
        versions.as_if_earlier(each, clock.HOUR)
        assert versions.ended(each)["result"] == {"by": "before"}
    go.touch()
    assert versions.ended(running)["result"] == {"by": "0.2.0"}  # the code that it began on
    assert versions.ended(waiting)["result"] == {"by": "before"}
    holder = posted_letter(versions, go_back, "mail")
    versions.wait_until(holder, "running")
    limited = posted_letter(versions, go_back, "mail")
    versions.wait_until(limited, "waiting")
    later = versions.dispatch("letters", delay=3600)

    versions.deploy_release("0.2.0", WORK_OF_0_2_0)
    versions.as_if_earlier(later, clock.HOUR)
    assert versions.ended(later)["result"] == {"by": "0.2.0"}
    go_back.touch()
    assert versions.ended(holder)["result"] == {"by": "before"}
    assert versions.ended(limited)["result"] == {"by": "0.2.0"}


def indexes(versions: DeployedVersions) -> set[str]:
    table = versions.client("dynamodb").describe_table(TableName=versions.local.stack.table_name)
    return {each["IndexName"] for each in table["Table"]["GlobalSecondaryIndexes"]}
