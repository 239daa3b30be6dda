"""The alarms: all there, quiet, and heard by somebody."""

import re
from collections.abc import Iterator
from typing import Any

from job_runners.cli.doctor.check import Issue, Verdict
from job_runners.cli.doctor.deployed import Deployed

_AT_ONCE = 100  # names that one call takes
_LOG = "The log says why: aws logs tail {%s} --since 1h"
_RECURSION = "The check recursion says how to allow it. The timer sends again what was dropped."
_DEAD_LETTERS = "The check dead letters says what to do."

# By its name in the template: what to do when it rings. {…} is a resource of the stack.
WHAT_TO_DO = {
    "ApiErrorsAlarm": _LOG % "ApiLogGroup",
    "ApiSlowAlarm": "How long each request took: aws logs tail {AccessLogGroup} --since 1h",
    "WorkerThrottlesAlarm": "Jobs wait, and none is lost. Raise WorkerReservedConcurrency, or the "
    "account's limit.",
    "WorkerRecursionAlarm": _RECURSION,
    "TimerRecursionAlarm": _RECURSION,
    "FailuresRecursionAlarm": _RECURSION,
    "WorkerErrorsAlarm": "The deploy was taken back. Correct it, and deploy again. "
    + _LOG % "WorkerLogGroup",
    "TasksFailedAlarm": "jobs tasks says which, and why.",
    "FailuresAlarm": _LOG % "FailuresLogGroup",
    "FailuresDeadLettersAlarm": _DEAD_LETTERS,
    "DelayDeadLettersAlarm": _DEAD_LETTERS,
    "TimerErrorsAlarm": _LOG % "TimerLogGroup",
    "TimerSilentAlarm": "The check timer says what to do.",
    "TimerLateAlarm": "More is due than workers take: raise WorkerReservedConcurrency, or the "
    "account's limit.",
}
OF_A_CANARY = "WorkerErrorsAlarm"  # which is there only if WorkerCanary says how


def alarms(deployed: Deployed) -> Iterator[Issue]:
    """Each alarm that a stack of this version has, and each more that this one has."""
    names = deployed.of_type("AWS::CloudWatch::Alarm")
    for logical_id in sorted(WHAT_TO_DO.keys() - {OF_A_CANARY} - names.keys()):
        yield Issue(
            f"The stack has no {logical_id}.",
            "Was it deployed by another version? make deploy brings it to this one.",
        )
    found = _described(deployed, list(names.values()))
    for logical_id, name in names.items():
        if name not in found:
            yield Issue(f"The alarm {name} is gone.", "make deploy makes it again.")
        else:
            yield from _rings(deployed, logical_id, found[name])
    if found and not any(each.get("AlarmActions") for each in found.values()):
        yield Issue(
            "The alarms tell nobody.",
            "Deploy with AlarmTopicArn=, the SNS topic that somebody reads.",
            Verdict.ADVICE,
        )
    yield Issue(_states(list(found.values())), "", Verdict.OK)


def _described(deployed: Deployed, names: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for first in range(0, len(names), _AT_ONCE):
        answer = deployed.client("cloudwatch").describe_alarms(
            AlarmNames=names[first : first + _AT_ONCE], AlarmTypes=["MetricAlarm"]
        )
        found |= {each["AlarmName"]: each for each in answer["MetricAlarms"]}
    return found


def _rings(deployed: Deployed, logical_id: str, alarm: dict[str, Any]) -> Iterator[Issue]:
    name = alarm["AlarmName"]
    if alarm["StateValue"] == "ALARM":
        about = alarm.get("AlarmDescription") or alarm["StateReason"]
        yield Issue(f"{name} is in ALARM: {about}", _what_to_do(deployed, logical_id))
    if not alarm.get("ActionsEnabled", True):
        yield Issue(
            f"The actions of {name} are switched off.",
            f"aws cloudwatch enable-alarm-actions --alarm-names {name}",
        )


def _what_to_do(deployed: Deployed, logical_id: str) -> str:
    words = WHAT_TO_DO.get(logical_id, "jobs list --status failed and jobs logs say more.")
    for resource in re.findall(r"\{(\w+)\}", words):
        words = words.replace(f"{{{resource}}}", deployed.id(resource))
    return words


def _states(found: list[dict[str, Any]]) -> str:
    """Return how many alarms are in each state, as CloudWatch calls it."""
    states = [str(each["StateValue"]) for each in found]
    counts = [f"{states.count(state)} {state}" for state in sorted(set(states))]
    return f"{len(found)} alarms: {', '.join(counts) or 'none'}"
