"""Check that the schedules that the code declares are active, and not paused for long."""

import json
import time
from collections.abc import Iterator

from job_runners.cli.doctor.check import Issue, Verdict
from job_runners.cli.doctor.deployed import Deployed, Item
from job_runners.cli.doctor.pauses import days_since

_DEPLOY = "deploy#"  # prefix of the sort key of a deploy's record
# The timer stores declared schedules every 5 minutes. If a schedule isn't stored after two such
# runs, the timer can't store it.
_STORED_WITHIN = 10 * 60  # seconds


def schedules(deployed: Deployed) -> Iterator[Issue]:
    """Check for declared schedules that the timer couldn't store, that the API overrides, or that
    have been paused for more than a day."""
    declared, since = _declared(deployed)
    deadline = time.time() - _STORED_WITHIN
    for organization in sorted({each for each, _ in declared}):
        stored = _stored(deployed, organization)
        for name in sorted(name for owner, name in declared if owner == organization):
            item = stored.get(name, {})
            if not item or "deleted_at" in item:
                if max(since, _seconds(item.get("deleted_at"))) < deadline:
                    yield _missing(deployed, organization, name)
            elif item["origin"]["S"] == "api":
                yield _overridden(organization, name)
            elif "paused_at" in item and (days := days_since(item["paused_at"]["N"])):
                yield _paused(organization, name, days)


def _missing(deployed: Deployed, organization: str, name: str) -> Issue:
    return Issue(
        f"The schedule {name} of {organization}, declared in code, isn't active, because the timer "
        "couldn't store it. It dispatches no jobs.",
        'The timer\'s log has the reason in a line "schedule not declared": '
        f"aws logs tail {deployed.id('TimerLogGroup')} --since 1h",
    )


def _overridden(organization: str, name: str) -> Issue:
    return Issue(
        f"The schedule {name} of {organization}, declared in code, isn't active, because a "
        "schedule of the same name was added over the API.",
        f"To use the one in code: job-runners schedules delete {name} --organization "
        f"{organization}. It becomes active within 5 minutes.",
        Verdict.ADVICE,
    )


def _paused(organization: str, name: str, days: str) -> Issue:
    return Issue(
        f"The schedule {name} of {organization} has been paused for {days}. It dispatches no jobs, "
        "and its occurrences are skipped.",
        "If the pause isn't needed any more: "
        f"job-runners schedules resume {name} --organization {organization}",
        Verdict.ADVICE,
    )


def _declared(deployed: Deployed) -> tuple[set[tuple[str, str]], float]:
    """Return the schedules that the latest deploy declares, as pairs of organization and name, and
    the time of the deploy."""
    found = deployed.coordination_items("schedules")
    deploys = [each for each in found if each["sk"]["S"].startswith(_DEPLOY)]
    if not deploys:
        return set(), 0
    latest = max(deploys, key=lambda deploy: int(deploy["since"]["N"]))
    declares = json.loads(latest["declares"]["S"])
    return {(organization, name) for organization, name in declares}, _seconds(latest["since"])


def _stored(deployed: Deployed, organization: str) -> dict[str, Item]:
    """Return the schedules of an organization by name, including deleted ones."""
    found = deployed.coordination_items(f"schedules#{organization}")
    return {item["sk"]["S"]: item for item in found}


def _seconds(at: dict[str, str] | None) -> float:
    """Return an attribute's time in seconds, or 0 if the item lacks the attribute."""
    return int(at["N"]) / 1000 if at else 0
