"""Every check, in the order of the report, and how one is run."""

from collections.abc import Iterator

from botocore.exceptions import ClientError

from job_runners.cli.doctor import alarms, calls, data, policies, queues, schedules, settings, timer
from job_runners.cli.doctor.check import Check, Finding, Verdict
from job_runners.cli.doctor.deployed import Deployed, NotInStack

_IGNORED = "the local AWS stores this setting and ignores it; make run proves the behaviour"
_DROPPED = "the local AWS drops this from the template"
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})

CHECKS = (
    Check("async retries", "Lambda itself retries nothing", calls.retries, _IGNORED),
    Check(
        "failure destination",
        "what Lambda gives up on goes to the failures queue",
        calls.failure_destination,
        _IGNORED,
    ),
    Check("recursion", "long chains of legs are allowed", calls.recursion, _DROPPED),
    Check("reservation", "workers leave room for the rest", calls.reservation, _IGNORED),
    Check("expiry", "finished rows expire", data.expiry, _DROPPED),
    Check("indexes", "all are there and active", data.indexes),
    Check(
        "protection",
        "tables and files can be restored, and tables resist deletion",
        data.protection,
        _DROPPED,
    ),
    Check(
        "alarms",
        "",  # it says in which states they are
        alarms.alarms,
        "the local AWS shows alarms and does not run them",
    ),
    Check("timer", "ticked in the last minutes", timer.timer),
    Check("schedules", "those that the code declares are in force", schedules.schedules),
    Check("dead letters", "none", queues.dead_letters),
    Check("queue readers", "each queue is read by its function", queues.readers),
    Check("policies", "they name actions and resources", policies.policies),
    Check("settings", "they agree with each other and with the stack", settings.settings),
    Check("code", "all functions run the same", settings.code),
)


def examine(deployed: Deployed) -> Iterator[Finding]:
    """Run every check; one that finds nothing wrong is ok."""
    for check in CHECKS:
        if deployed.stack.is_local and check.not_local_because:
            yield Finding(
                check.name, Verdict.UNKNOWN, f"can't be checked here: {check.not_local_because}"
            )
        else:
            yield from _run(check, deployed)


def _run(check: Check, deployed: Deployed) -> Iterator[Finding]:
    try:
        found = [
            Finding(check.name, issue.verdict, issue.what, issue.fix)
            for issue in check.run(deployed)
        ]
    except NotInStack as missing:
        fix = "Was it deployed by another version? make deploy brings it to this one."
        found = [Finding(check.name, Verdict.WRONG, f"{missing}.".capitalize(), fix)]
    except ClientError as error:
        found = [_refused(check, error)]
    yield from found or [Finding(check.name, Verdict.OK, check.ok_message)]


def _refused(check: Check, error: ClientError) -> Finding:
    code, text = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    if code in _DENIED:
        return Finding(
            check.name,
            Verdict.UNKNOWN,
            f"can't be checked with your credentials: {text}",
            f"Allow yourself {error.operation_name}, or let somebody look who may.",
        )
    return Finding(
        check.name,
        Verdict.WRONG,
        f"{error.operation_name} answered {code}: {text}",
        "Was something of the stack deleted by hand? make deploy, and look again.",
    )
