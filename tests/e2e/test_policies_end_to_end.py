"""Every kind of work once on a local AWS that holds each function to the policies of its role."""

import random
import time
import urllib.request
import uuid
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import pytest

from expanded_template import allowed, deployed
from following import follow
from job_runners.client.connections import Response
from job_runners.store.limits import CACHE_TIME
from local_stack import Enforcing
from role_probes import AsRole, Probe, role_names

pytestmark = pytest.mark.e2e

FUNCTIONS = ("ApiFunction", "WorkerFunction", "TimerFunction", "FailuresFunction")
KEY = "uploads/acme/contacts.csv"
FILE = b"first_name,last_name,cell\nAda,Lovelace,(212) 555-0123\nGrace,Hopper,(212) 555-0124\n"


@pytest.fixture(scope="module")
def campaign(enforcing: Enforcing) -> str:
    """Return a campaign of two contacts, imported by a job."""
    enforcing.upload("contacts.csv", FILE)
    name = f"campaign-{uuid.uuid4()}"
    job = ended(enforcing, "import_contacts", {"campaign": name, "key": KEY})
    assert job["result"]["imported"] == 2
    return name


def ended(
    enforcing: Enforcing, job_type: str, payload: Any, status: str = "succeeded", **fields: Any
) -> dict[str, Any]:
    """Return the job once it is finished, as it had to be."""
    job = follow(enforcing.api, enforcing.dispatch(job_type, payload, **fields), patience=30)
    assert job["status"] == status, job
    return job


def done(answer: Response) -> Response:
    assert answer.status < 300, answer.text
    return answer


# --- what is allowed is enough --------------------------------------------------------------------


def test_contacts_are_imported_assigned_texted_and_exported(
    enforcing: Enforcing, campaign: str
) -> None:
    many = [{"id": random.Random(n).randbytes(8).hex()} for n in range(600)]
    for job_type, payload in (
        ("assign_texters", {"texters": many}),  # too much for a row: it is kept in the bucket
        ("send_first_messages", {"text": "Hi {first_name}"}),
    ):
        ended(enforcing, job_type, {"campaign": campaign, **payload})
    job = ended(enforcing, "export_contacts", {"campaign": campaign})
    with urllib.request.urlopen(job["result"]["url"], timeout=60) as response:
        assert b"Lovelace" in response.read()
    done(enforcing.api.delete(f"/jobs/{job['id']}"))
    assert enforcing.api.get(f"/jobs/{job['id']}").status == 404


def test_a_job_that_failed_is_listed_and_retried(enforcing: Enforcing, campaign: str) -> None:
    missing = {"campaign": campaign, "key": "uploads/acme/missing.csv"}
    job = ended(enforcing, "import_contacts", missing, "failed")
    assert "missing.csv" in job["error"]["message"]
    failed = done(enforcing.api.get("/jobs?organization_id=acme&status=failed")).json["jobs"]
    assert job["id"] in [each["id"] for each in failed]
    done(enforcing.api.post(f"/jobs/{job['id']}/retry", {"payload": missing | {"key": KEY}}))
    assert follow(enforcing.api, job["id"], patience=30)["status"] == "succeeded"


def test_a_scheduled_job_is_canceled_or_runs_at_its_time(
    enforcing: Enforcing, campaign: str
) -> None:
    later = enforcing.dispatch("export_contacts", {"campaign": campaign}, delay=600)
    soon = enforcing.dispatch("export_contacts", {"campaign": campaign}, delay=2)
    assert done(enforcing.api.post(f"/jobs/{later}/cancel", b"")).json["status"] == "canceled"
    assert follow(enforcing.api, soon, patience=30)["status"] == "succeeded"


@pytest.fixture(scope="module")
def queues(enforcing: Enforcing) -> tuple[str, str]:
    """Return a paused queue and one with a slot, when every function has heard of both."""
    paused, limited = f"queue-{uuid.uuid4()}", f"queue-{uuid.uuid4()}"
    done(enforcing.api.put(f"/paused/queue/{paused}"))
    done(enforcing.api.put(f"/queues/{limited}", {"slots": 1}))
    time.sleep(CACHE_TIME / 1000)
    return paused, limited


def test_what_is_due_is_held_by_the_timer_and_let_go(
    enforcing: Enforcing, campaign: str, queues: tuple[str, str]
) -> None:
    queue, _ = queues
    fields = {"queue_name": queue, "delay": 600}
    job_id = enforcing.dispatch("export_contacts", {"campaign": campaign}, **fields)
    dynamodb = enforcing.client("dynamodb")
    dynamodb.update_item(
        TableName=enforcing.stack.table_name,
        Key={"id": {"S": job_id}},
        UpdateExpression="SET run_at = :past",
        ExpressionAttributeValues={":past": {"N": "1"}},
    )
    assert enforcing.make_due(job_id)
    enforcing.tick()
    assert done(enforcing.api.get(f"/jobs/{job_id}")).json["status"] == "waiting"
    assert queue in [each["name"] for each in done(enforcing.api.get("/paused")).json["paused"]]
    done(enforcing.api.delete(f"/paused/queue/{queue}"))
    assert follow(enforcing.api, job_id, patience=30)["status"] == "succeeded"


def test_jobs_of_a_limited_queue_take_turns(
    enforcing: Enforcing, campaign: str, queues: tuple[str, str]
) -> None:
    _, queue = queues
    job = ("export_contacts", {"campaign": campaign})
    ids = [enforcing.dispatch(*job, queue_name=queue) for _ in range(4)]
    done(enforcing.api.get(f"/jobs/{ids[-1]}/place"))
    for job_id in ids:
        assert follow(enforcing.api, job_id, patience=30)["status"] == "succeeded"
    (key,) = done(enforcing.api.get(f"/queues/{queue}")).json["keys"]
    assert (key["slots_in_use"], key["waiting"]) == (0, 0)
    done(enforcing.api.delete(f"/queues/{queue}"))


def test_a_task_is_sent(enforcing: Enforcing) -> None:
    payload = {"cell": "+12125550123", "text": "Polls close at 8."}
    done(enforcing.api.post("/tasks", {"task_name": "send_message", "payload": payload}))


def test_a_failed_task_is_kept_and_sent_again(enforcing: Enforcing) -> None:
    satellite = {"cell": "+881612345678", "text": "Polls close at 8."}  # is never texted
    task = {"task_name": "send_message", "payload": satellite}
    sent = done(enforcing.api.post("/tasks", task)).json["id"]
    assert failed_task(enforcing, sent)["payload"] == satellite
    again = done(enforcing.api.post(f"/tasks/failed/{sent}/redrive", b"")).json["id"]
    assert failed_task(enforcing, again)["error"]["kind"] == "TextRefused"
    assert enforcing.api.post(f"/tasks/failed/{sent}/redrive", b"").status == 404


def failed_task(enforcing: Enforcing, task_id: str) -> dict[str, Any]:
    """Return a failed task, once it is listed."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for task in done(enforcing.api.get("/tasks/failed?limit=100")).json["tasks"]:
            if task["id"] == task_id:
                return dict(task)
        time.sleep(0.2)
    raise AssertionError(f"{task_id} is not listed")


# --- and no more is -------------------------------------------------------------------------------


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_may_do_what_its_policies_say_and_nothing_else(
    enforcing: Enforcing, function: str
) -> None:
    rules = allowed(deployed(), function)
    role = AsRole(enforcing.stack, role_names(enforcing.stack)[f"{function}Role"])

    def may(probe: Probe) -> bool:
        return any(
            probe.action == action and fnmatchcase(probe.resource, pattern)
            for action, pattern in rules
        )

    wrong = [
        f"{probe.action} on {probe.resource} is {'denied' if denied else 'allowed'}"
        for probe in role.probes()
        if (denied := probe.denied) == may(probe)
    ]
    assert wrong == []


def test_only_the_worker_texts_phones_and_it_publishes_to_no_topic(enforcing: Enforcing) -> None:
    sns = enforcing.client("sns")
    topic = sns.create_topic(Name="owners")["TopicArn"]
    names = role_names(enforcing.stack)
    for function in FUNCTIONS:
        client = AsRole(enforcing.stack, names[f"{function}Role"]).client("sns")
        for where, to in (
            ("phone", {"PhoneNumber": "+12125550123"}),
            ("topic", {"TopicArn": topic}),
        ):
            request = {"Message": "Polls close at 8.", **to}
            probe = Probe("sns:Publish", where, partial(client.publish, **request))
            assert probe.denied == ((function, where) != ("WorkerFunction", "phone"))


def test_only_the_worker_reads_the_secrets_of_webhooks(enforcing: Enforcing) -> None:
    ssm = enforcing.client("ssm")
    ours, other = f"/{enforcing.stack.name}/webhook-secrets/acme", "/another/secret"
    for name in (ours, other):
        ssm.put_parameter(Name=name, Value="s3cret", Type="SecureString")
    names = role_names(enforcing.stack)
    for function in FUNCTIONS:
        client = AsRole(enforcing.stack, names[f"{function}Role"]).client("ssm")
        for name in (ours, other):
            probe = Probe("ssm:GetParameter", name, partial(client.get_parameter, Name=name))
            assert probe.denied == ((function, name) != ("WorkerFunction", ours))
