"""Check that all CloudWatch alarms exist, that none is in ALARM, and that they notify someone."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

from job_runners.cli.doctor.check import Issue, Verdict
from job_runners.cli.doctor.deployed import Deployed


def _see_log(log_group: str) -> str:
    return f"The log has the reason: aws logs tail {{{log_group}}} --since 1h"


_RECURSION = "The recursion check shows how to allow it. The timer resends dropped messages."
_DEAD_LETTERS = "The dead letters check shows what to do."

# An alarm counts the failures of all organizations, but a command lists those of one.
_ORGANIZATION_OPTION = " --organization NAME"

_NEW_FAILURES = "NewFailuresAlarm"
_FUNCTIONS_THAT_LOG_FAILURES = ("Worker", "Api", "Timer", "Failures")
_SEARCHED_SECONDS = 3600  # how far back logs are read; the alarm is about the last 5 minutes
_MAX_ORGANIZATIONS = 10  # the most organizations that the advice names

# The advice for each alarm, by the alarm's name in the template. The name of a resource in braces
# is replaced by the resource's physical id.
ADVICE = {
    "ApiErrorsAlarm": _see_log("ApiLogGroup"),
    "ApiSlowAlarm": "To see how long each request took: aws logs tail {AccessLogGroup} --since 1h",
    "WorkerThrottlesAlarm": "Jobs are waiting, and none is lost. Raise WorkerReservedConcurrency "
    "or the account's limit.",
    "WorkerRecursionAlarm": _RECURSION,
    "TimerRecursionAlarm": _RECURSION,
    "FailuresRecursionAlarm": _RECURSION,
    "WorkerErrorsAlarm": "The deploy was rolled back. Fix it and deploy again. "
    + _see_log("WorkerLogGroup"),
    "TasksFailedAlarm": f"job-runners failures tasks{_ORGANIZATION_OPTION} lists the failed tasks "
    "and errors.",
    "LeftForLaterAlarm": "The code of jobs or tasks can't be loaded. Fix it or its settings, and "
    "deploy again. " + _see_log("WorkerLogGroup"),
    _NEW_FAILURES: f"job-runners failures{_ORGANIZATION_OPTION} lists what fails, newest first.",
    "FailuresAlarm": _see_log("FailuresLogGroup"),
    "FailuresDeadLettersAlarm": _DEAD_LETTERS,
    "DelayDeadLettersAlarm": _DEAD_LETTERS,
    "TimerErrorsAlarm": _see_log("TimerLogGroup"),
    "TimerSilentAlarm": "The timer check shows what to do.",
    "TimerLateAlarm": "More jobs are due than workers can run. Raise WorkerReservedConcurrency or "
    "the account's limit.",
}
CANARY_ALARM = "WorkerErrorsAlarm"  # exists only if WorkerCanary is set


def check_alarms(deployed: Deployed) -> Iterator[Issue]:
    """Check the alarms of this version's template, and any others in the stack."""
    names_by_id = deployed.physical_ids("AWS::CloudWatch::Alarm")
    for logical_id in sorted(ADVICE.keys() - {CANARY_ALARM} - names_by_id.keys()):
        yield Issue(
            f"The stack has no {logical_id}.",
            "It may be from another version. job-runners deploy updates it to this one.",
        )
    alarms_by_name = _describe_alarms(deployed, list(names_by_id.values()))
    for logical_id, name in names_by_id.items():
        if name not in alarms_by_name:
            yield Issue(f"The alarm {name} was deleted.", "job-runners deploy creates it again.")
        else:
            yield from _check_state(deployed, logical_id, alarms_by_name[name])
    alarms = list(alarms_by_name.values())
    if alarms and not any(alarm.get("AlarmActions") for alarm in alarms):
        yield Issue(
            "The alarms send no notifications.",
            "Deploy with AlarmTopicArn= and the ARN of an SNS topic that your operators read.",
            Verdict.ADVICE,
        )
    yield Issue(_states_in_words(alarms), "", Verdict.OK)


def _describe_alarms(deployed: Deployed, names: list[str]) -> dict[str, Any]:
    # One call accepts 100 names, and even a stack with all eight worker classes has fewer alarms.
    response = deployed.client("cloudwatch").describe_alarms(
        AlarmNames=names, AlarmTypes=["MetricAlarm"], MaxRecords=100
    )
    return {alarm["AlarmName"]: alarm for alarm in response["MetricAlarms"]}


def _check_state(deployed: Deployed, logical_id: str, alarm: dict[str, Any]) -> Iterator[Issue]:
    name = alarm["AlarmName"]
    if alarm["StateValue"] == "ALARM":
        reason = alarm.get("AlarmDescription") or alarm["StateReason"]
        yield Issue(f"{name} is in ALARM: {reason}", _advice(deployed, logical_id))
    if not alarm.get("ActionsEnabled", True):
        yield Issue(
            f"The actions of {name} are disabled.",
            f"aws cloudwatch enable-alarm-actions --alarm-names {name}",
        )


def _advice(deployed: Deployed, logical_id: str) -> str:
    if logical_id == _NEW_FAILURES:
        organizations = _organizations_with_new_failures(deployed)
        if organizations:
            return _failures_commands(organizations)
    advice = (
        ADVICE.get(logical_id)
        or _advice_for_worker_class(logical_id)
        or "See job-runners list --status failed and job-runners logs."
    )
    for resource in re.findall(r"\{(\w+)\}", advice):
        advice = advice.replace(f"{{{resource}}}", deployed.physical_id(resource))
    return advice


def _advice_for_worker_class(logical_id: str) -> str:
    """Return the advice for an alarm about a worker class, or "" for any other alarm.

    A worker class is a worker function with its own memory and concurrency. Its alarms, such as
    LargeWorkerErrorsAlarm, are named after those of the default worker.
    """
    match = re.search(r"(?<=[a-z0-9])Worker\w+Alarm$", logical_id)
    if match is None:
        return ""
    return ADVICE.get(match[0], "").replace(
        "WorkerReservedConcurrency", "concurrency of the worker class in app.toml"
    )


def _organizations_with_new_failures(deployed: Deployed) -> list[str]:
    """Return the organizations with new or regressed error groups, most recent first.

    An error group is a set of failures with the same cause. It has regressed if it was resolved,
    and then a job failed in this way again.
    """
    lines = [
        line
        for function in _FUNCTIONS_THAT_LOG_FAILURES
        for message in ("new error group", "resolved error group is back")
        for line in deployed.recent_lines(f"{function}LogGroup", message, _SEARCHED_SECONDS)
    ]
    lines.sort(key=lambda line: str(line.get("timestamp", "")), reverse=True)
    return list(dict.fromkeys(str(line.get("organization_id")) for line in lines))


def _failures_commands(organizations: list[str]) -> str:
    """Return advice with the commands that list these organizations' failures."""
    commands = [
        f"job-runners failures --organization {shlex.quote(organization)}"
        for organization in organizations[:_MAX_ORGANIZATIONS]
    ]
    advice = f"See what fails: {', '.join(commands)}"
    more_count = len(organizations) - len(commands)
    if more_count:
        advice += f". The logs name {more_count} more organizations."
    return advice


def _states_in_words(alarms: list[dict[str, Any]]) -> str:
    """Return how many alarms are in each state."""
    states = [str(alarm["StateValue"]) for alarm in alarms]
    counts = [f"{states.count(state)} {state}" for state in sorted(set(states))]
    return f"{len(alarms)} alarms: {', '.join(counts) or 'none'}"
