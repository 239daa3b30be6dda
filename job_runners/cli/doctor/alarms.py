"""Check the alarms: they exist, are quiet and notify an SNS topic."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

from job_runners.cli.doctor.check import Issue, Verdict
from job_runners.cli.doctor.deployed import Deployed

_LOG = "The log has the reason: aws logs tail {%s} --since 1h"
_RECURSION = "The recursion check shows how to allow it. The timer resends dropped messages."
_DEAD_LETTERS = "The dead letters check shows what to do."

_OF_ONE = " --organization NAME"  # an alarm counts all organizations; a list has those of one

_NEW_FAILURES = "NewFailuresAlarm"
_FUNCTIONS_THAT_COUNT = ("Worker", "Api", "Timer", "Failures")  # their logs have new failures
_RECENTLY = 3600  # seconds; the alarm is about the last 5 minutes
_MOST_ORGANIZATIONS = 10  # that are named

# Advice for each alarm, by its name in the template. {Name} stands for the physical id of the
# resource Name.
WHAT_TO_DO = {
    "ApiErrorsAlarm": _LOG % "ApiLogGroup",
    "ApiSlowAlarm": "To see how long each request took: aws logs tail {AccessLogGroup} --since 1h",
    "WorkerThrottlesAlarm": "Jobs are waiting, and none is lost. Raise WorkerReservedConcurrency "
    "or the account's limit.",
    "WorkerRecursionAlarm": _RECURSION,
    "TimerRecursionAlarm": _RECURSION,
    "FailuresRecursionAlarm": _RECURSION,
    "WorkerErrorsAlarm": "The deploy was rolled back. Fix it and deploy again. "
    + _LOG % "WorkerLogGroup",
    "TasksFailedAlarm": f"job-runners failures tasks{_OF_ONE} lists the failed tasks and errors.",
    "LeftForLaterAlarm": "The code of jobs or tasks can't be loaded. Fix it or its settings, and "
    "deploy again. " + _LOG % "WorkerLogGroup",
    _NEW_FAILURES: f"job-runners failures{_OF_ONE} lists what fails, newest first.",
    "FailuresAlarm": _LOG % "FailuresLogGroup",
    "FailuresDeadLettersAlarm": _DEAD_LETTERS,
    "DelayDeadLettersAlarm": _DEAD_LETTERS,
    "TimerErrorsAlarm": _LOG % "TimerLogGroup",
    "TimerSilentAlarm": "The timer check shows what to do.",
    "TimerLateAlarm": "More jobs are due than workers can run. Raise WorkerReservedConcurrency or "
    "the account's limit.",
}
CANARY_ALARM = "WorkerErrorsAlarm"  # exists only if WorkerCanary is set


def alarms(deployed: Deployed) -> Iterator[Issue]:
    """Check the alarms that this version's template has, and all others of the stack."""
    names_by_id = deployed.of_type("AWS::CloudWatch::Alarm")
    for logical_id in sorted(WHAT_TO_DO.keys() - {CANARY_ALARM} - names_by_id.keys()):
        yield Issue(
            f"The stack has no {logical_id}.",
            "It may be from another version. job-runners deploy updates it to this one.",
        )
    found = _describe(deployed, list(names_by_id.values()))
    for logical_id, name in names_by_id.items():
        if name not in found:
            yield Issue(f"The alarm {name} was deleted.", "job-runners deploy creates it again.")
        else:
            yield from _check_state(deployed, logical_id, found[name])
    if found and not any(each.get("AlarmActions") for each in found.values()):
        yield Issue(
            "The alarms send no notifications.",
            "Deploy with AlarmTopicArn= and the ARN of an SNS topic that your operators read.",
            Verdict.ADVICE,
        )
    yield Issue(_states(list(found.values())), "", Verdict.OK)


def _describe(deployed: Deployed, names: list[str]) -> dict[str, Any]:
    # One call accepts 100 names. A stack with eight worker classes has fewer alarms.
    answer = deployed.client("cloudwatch").describe_alarms(
        AlarmNames=names, AlarmTypes=["MetricAlarm"], MaxRecords=100
    )
    return {each["AlarmName"]: each for each in answer["MetricAlarms"]}


def _check_state(deployed: Deployed, logical_id: str, alarm: dict[str, Any]) -> Iterator[Issue]:
    name = alarm["AlarmName"]
    if alarm["StateValue"] == "ALARM":
        reason = alarm.get("AlarmDescription") or alarm["StateReason"]
        yield Issue(f"{name} is in ALARM: {reason}", _what_to_do(deployed, logical_id))
    if not alarm.get("ActionsEnabled", True):
        yield Issue(
            f"The actions of {name} are disabled.",
            f"aws cloudwatch enable-alarm-actions --alarm-names {name}",
        )


def _what_to_do(deployed: Deployed, logical_id: str) -> str:
    if logical_id == _NEW_FAILURES and (found := _with_new_failures(deployed)):
        return _commands_for(found)
    known = WHAT_TO_DO.get(logical_id)
    if known is None and (of_class := re.search(r"(?<=[a-z0-9])Worker\w+Alarm$", logical_id)):
        known = WHAT_TO_DO.get(of_class[0], "").replace(
            "WorkerReservedConcurrency", "concurrency of the worker class in app.toml"
        )
    advice = known or "See job-runners list --status failed and job-runners logs."
    for resource in re.findall(r"\{(\w+)\}", advice):
        advice = advice.replace(f"{{{resource}}}", deployed.id(resource))
    return advice


def _with_new_failures(deployed: Deployed) -> list[str]:
    """Return the organizations whose jobs failed in a new way, or again after a fix, newest
    first."""
    lines = [
        line
        for function in _FUNCTIONS_THAT_COUNT
        for message in ("new error group", "resolved error group is back")
        for line in deployed.recent_lines(f"{function}LogGroup", message, _RECENTLY)
    ]
    lines.sort(key=lambda line: str(line.get("timestamp", "")), reverse=True)
    return list(dict.fromkeys(str(line.get("organization_id")) for line in lines))


def _commands_for(organizations: list[str]) -> str:
    """Return the commands that list the failures of these organizations."""
    commands = [
        f"job-runners failures --organization {shlex.quote(each)}"
        for each in organizations[:_MOST_ORGANIZATIONS]
    ]
    more = len(organizations) - len(commands)
    rest = f". The logs name {more} more organizations." if more else ""
    return "See what fails: " + ", ".join(commands) + rest


def _states(found: list[dict[str, Any]]) -> str:
    """Return the number of alarms in each of CloudWatch's states, in words."""
    states = [str(each["StateValue"]) for each in found]
    counts = [f"{states.count(state)} {state}" for state in sorted(set(states))]
    return f"{len(found)} alarms: {', '.join(counts) or 'none'}"
