"""doctor reads the alarms: which states they are in, which ring, and which are missing."""

import json
import re
import time

from doctor_findings import findings
from expanded_template import deployed, of_type
from fake_account import Account
from fake_stack import alarm
from job_runners.cli.doctor.alarms import ADVICE, CANARY_ALARM
from jobs_command import jobs


def test_each_alarm_that_rings_is_told_with_what_it_is_about_and_what_to_do(
    account: Account,
) -> None:
    account.resources[CANARY_ALARM] = ("AWS::CloudWatch::Alarm", f"alarm-{CANARY_ALARM}")
    account.alarms[f"alarm-{CANARY_ALARM}"] = alarm(f"alarm-{CANARY_ALARM}")
    for each in account.alarms.values():
        each["StateValue"] = "ALARM"
    found = findings(code=1)
    assert [each["what"] for each in found] == [
        f"{name} is in ALARM: What {name} is about." for name in account.alarms
    ]
    for finding in found:
        assert len(finding["fix"]) > 20
        assert "{" not in finding["fix"]


def test_the_organizations_with_new_failures_are_named(account: Account) -> None:
    account.alarms["alarm-NewFailuresAlarm"]["StateValue"] = "ALARM"
    (found,) = findings(code=1)
    assert "--organization NAME" in found["fix"]
    now = time.time()
    for seconds, log, message, organization in (
        (300, "log-worker", "new error group", "acme"),
        (200, "log-failures", "resolved error group is back", "o'brien"),
        (100, "log-worker", "new error group", "acme"),
        (7200, "log-worker", "new error group", "long ago"),
        (50, "log-worker", "failed", "other"),
    ):
        line = {"message": message, "organization_id": organization, "timestamp": f"{-seconds:09}"}
        account.logs.setdefault(log, []).append((now - seconds, json.dumps(line)))
    (found,) = findings(code=1)
    assert found["fix"] == (
        "See what fails: job-runners failures --organization acme, "
        """job-runners failures --organization 'o'"'"'brien'"""
    )


def test_the_states_of_the_alarms_are_told(account: Account) -> None:
    first, second, *others = account.alarms.values()
    first["StateValue"] = second["StateValue"] = "INSUFFICIENT_DATA"
    told = f"{len(others) + 2} alarms: 2 INSUFFICIENT_DATA, {len(others)} OK"
    assert told in jobs("doctor").stdout
    assert findings() == []


def test_doctor_knows_the_alarms_of_the_template() -> None:
    template = deployed(WorkerCanary="Canary10Percent5Minutes")
    assert of_type(template, "AWS::CloudWatch::Alarm").keys() == ADVICE.keys()
    usual = of_type(deployed(), "AWS::CloudWatch::Alarm").keys()
    assert ADVICE.keys() - usual == {CANARY_ALARM}
    named = set(re.findall(r"\{(\w+)\}", " ".join(ADVICE.values())))
    assert named <= template["Resources"].keys()
