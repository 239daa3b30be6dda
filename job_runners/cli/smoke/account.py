"""Check the throwaway stack's settings, and what the local AWS lacks: throttling and alarms."""

import time
from collections.abc import Iterator

from botocore.exceptions import ClientError

from job_runners.cli.doctor.check import Finding, Verdict
from job_runners.cli.doctor.checks import examine
from job_runners.cli.doctor.deployed import WORKER, Deployed
from job_runners.cli.smoke.kinds import NotAsExpected, Work

_EXPECTED_ALARM = "TasksFailedAlarm"  # the failing task sets it off
_POSSIBLE_ALARMS = ("NewFailuresAlarm", "WorkerThrottlesAlarm")  # by the crash and the throttling
_MAX_ALARM_WAIT = 600.0  # seconds
_THROTTLED_JOBS = 4


def check_throttling(work: Work) -> Iterator[Finding]:
    """Check that Lambda keeps the events that it throttles, and later runs each once."""
    deployed = Deployed(work.target)
    client, worker = deployed.client("lambda"), deployed.physical_id(WORKER)
    if deployed.stack.is_local:
        yield Finding("throttling", Verdict.SKIPPED, "can't be checked on a local AWS")
        return
    try:
        client.put_function_concurrency(FunctionName=worker, ReservedConcurrentExecutions=1)
    except ClientError as error:
        yield Finding(
            "throttling",
            Verdict.UNKNOWN,
            f"can't be checked: {error.response['Error'].get('Message', error)}",
            "Ask AWS to raise the account's limit of concurrent executions.",
        )
        return
    try:
        ids = [work.dispatch("throttling", "smoke_slow")[0]["id"] for _ in range(_THROTTLED_JOBS)]
        attempts = [work.wait_for_success(job_id)["attempt"] for job_id in ids]
        if attempts != [1] * _THROTTLED_JOBS:
            raise NotAsExpected(f"the jobs took {attempts} attempts, not one each")
    except NotAsExpected as problem:
        fix = "See the worker's log, and its metrics Throttles and AsyncEventAge."
        yield Finding("throttling", Verdict.WRONG, str(problem), fix)
    else:
        yield Finding("throttling", Verdict.OK, "throttled jobs ran later, in one attempt each")
    finally:
        client.delete_function_concurrency(FunctionName=worker)


def check_settings(work: Work) -> Iterator[Finding]:
    """Yield doctor's findings, except those about alarms, which have no topic to notify."""
    for finding in examine(Deployed(work.target)):
        if finding.check != "alarms":
            yield finding


def check_alarms(work: Work) -> Iterator[Finding]:
    """Check that the alarm about the failed task goes off, and no other alarm."""
    deployed = Deployed(work.target)
    if deployed.stack.is_local:
        yield Finding("alarms", Verdict.SKIPPED, "can't be checked on a local AWS")
        return
    expected = deployed.physical_id(_EXPECTED_ALARM)
    possible = {deployed.physical_id(name) for name in _POSSIBLE_ALARMS}
    deadline = time.monotonic() + _MAX_ALARM_WAIT
    raised_alarms = _alarms_in_alarm_state(deployed)
    while expected not in raised_alarms and time.monotonic() < deadline:
        time.sleep(10)
        raised_alarms = _alarms_in_alarm_state(deployed)
    unexpected = ", ".join(sorted(raised_alarms - possible - {expected}))
    if unexpected:
        fix = "Run job-runners smoke --keep, then job-runners doctor, which says what to do."
        yield Finding("alarms", Verdict.WRONG, f"in ALARM without a reason: {unexpected}", fix)
    elif expected not in raised_alarms:
        minutes = _MAX_ALARM_WAIT / 60
        yield Finding(
            "alarms",
            Verdict.WRONG,
            f"{expected} didn't go off within {minutes:.0f} minutes of a failed task",
            "See the metric TasksFailed in CloudWatch's namespace JobRunners.",
        )
    else:
        yield Finding("alarms", Verdict.OK, "the alarm about failed tasks went off, and no other")


def _alarms_in_alarm_state(deployed: Deployed) -> set[str]:
    names = list(deployed.physical_ids("AWS::CloudWatch::Alarm").values())
    response = deployed.client("cloudwatch").describe_alarms(AlarmNames=names, StateValue="ALARM")
    return {alarm["AlarmName"] for alarm in response["MetricAlarms"]}
