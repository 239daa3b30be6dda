"""The alarms: there, quiet, and heard by somebody."""

from collections.abc import Iterator
from typing import Any

from job_runners.cli.doctor.check import Issue, Verdict
from job_runners.cli.doctor.deployed import Deployed

_AT_ONCE = 100  # names that one call takes


def alarms(deployed: Deployed) -> Iterator[Issue]:
    """Each alarm of the stack."""
    names = list(deployed.of_type("AWS::CloudWatch::Alarm").values())
    if not names:
        yield Issue("The stack has no alarms.", "make deploy makes them.")
    found: dict[str, Any] = {}
    for first in range(0, len(names), _AT_ONCE):
        answer = deployed.client("cloudwatch").describe_alarms(
            AlarmNames=names[first : first + _AT_ONCE], AlarmTypes=["MetricAlarm"]
        )
        found |= {each["AlarmName"]: each for each in answer["MetricAlarms"]}
    for name in names:
        if name not in found:
            yield Issue(f"The alarm {name} is gone.", "make deploy makes it again.")
        elif found[name]["StateValue"] == "ALARM":
            yield Issue(
                f"{name}: {found[name].get('AlarmDescription') or found[name]['StateReason']}",
                "jobs list --status failed, jobs logs, and the checks below say more.",
            )
    if found and not any(each.get("AlarmActions") for each in found.values()):
        yield Issue(
            "The alarms tell nobody.",
            "Deploy with AlarmTopicArn=, the SNS topic that somebody reads.",
            Verdict.ADVICE,
        )
    for name in sorted(
        name for name, each in found.items() if not each.get("ActionsEnabled", True)
    ):
        yield Issue(
            f"The actions of {name} are switched off.",
            f"aws cloudwatch enable-alarm-actions --alarm-names {name}",
        )
