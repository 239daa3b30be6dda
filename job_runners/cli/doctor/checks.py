"""Run all checks in the order of the report."""

from collections.abc import Iterator

from botocore.exceptions import ClientError

from job_runners.cli.doctor import (
    alarms,
    calls,
    dead_letters,
    deploys,
    pauses,
    schedules,
    starts,
    timer,
)
from job_runners.cli.doctor.check import Check, Finding, Verdict
from job_runners.cli.doctor.deployed import Deployed, NotInStack

# The reasons why checks are skipped on the local AWS.
_IGNORED = "the local AWS stores this setting but ignores it"
_DROPPED = "the local AWS drops this setting from the template"
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})

CHECKS = (
    Check("async retries", "Lambda retries nothing", calls.check_retries, _IGNORED),
    Check(
        "failure destination",
        "Lambda sends the events that it gives up on to the failures queue",
        calls.check_failure_destination,
        _IGNORED,
    ),
    Check("recursion", "long chains of invocations are allowed", calls.check_recursion, _DROPPED),
    Check(
        "reservation", "workers leave concurrency for the rest", calls.check_reservation, _IGNORED
    ),
    Check(
        "alarms",
        "",  # the check always yields an issue, with the alarms' states
        alarms.check_alarms,
        "the local AWS lists alarms but doesn't evaluate them",
    ),
    Check("timer", "ran in the last minutes", timer.check_timer),
    Check("starts", "no job waits because its code can't start", starts.check_starts),
    Check(
        "schedules", "all schedules that the code declares are active", schedules.check_schedules
    ),
    Check("pauses", "none is older than a day", pauses.check_pauses),
    Check("dead letters", "none", dead_letters.check_dead_letters),
    Check(
        "drift",
        "CloudFormation has found no manual changes",
        deploys.check_drift,
        "the local AWS doesn't detect drift",
    ),
    Check(
        "code",
        "all functions run the same",
        deploys.check_code,
        "the local AWS runs one version of your code",
    ),
)


def examine(deployed: Deployed) -> Iterator[Finding]:
    """Run all checks and yield their findings, at least one for each check."""
    for check in CHECKS:
        if deployed.stack.is_local and check.skipped_locally_because:
            yield Finding(check.name, Verdict.SKIPPED, check.skipped_locally_because)
        else:
            yield from _run_check(check, deployed)


def _run_check(check: Check, deployed: Deployed) -> list[Finding]:
    try:
        findings = [
            Finding(check.name, issue.verdict, issue.what, issue.fix)
            for issue in check.run(deployed)
        ]
    except NotInStack as error:
        fix = "It may be from another version. job-runners deploy updates it to this one."
        findings = [Finding(check.name, Verdict.WRONG, str(error), fix)]
    except ClientError as error:
        findings = [_finding_for_aws_error(check, error)]
    return findings or [Finding(check.name, Verdict.OK, check.ok_message)]


def _finding_for_aws_error(check: Check, error: ClientError) -> Finding:
    code = error.response["Error"]["Code"]
    text = error.response["Error"].get("Message", "")
    if code in _DENIED:
        return Finding(
            check.name,
            Verdict.UNKNOWN,
            f"can't be checked with your credentials: {text}",
            f"Use credentials that allow {error.operation_name}.",
        )
    return Finding(
        check.name,
        Verdict.WRONG,
        f"{error.operation_name} answered {code}: {text}",
        "A resource of the stack may have been deleted manually. Run job-runners deploy, then "
        "job-runners doctor.",
    )
