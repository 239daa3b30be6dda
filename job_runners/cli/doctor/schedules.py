"""Check that the schedules declared in code are active, and haven't been paused for long.

The code declares schedules in RECURRING. Each deploy records their names in the coordination table,
and the timer stores them there, next to the schedules that callers put over the API.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterator

from job_runners.cli.doctor.check import Issue, Verdict
from job_runners.cli.doctor.deployed import Deployed, Item
from job_runners.cli.doctor.pauses import days_in_words

_DEPLOY_PREFIX = "deploy#"  # begins the sort key of a deploy's record
_MAX_STORE_SECONDS = 10 * 60  # the timer stores declared schedules every 5 minutes


def check_schedules(deployed: Deployed) -> Iterator[Issue]:
    """Check for declared schedules that the timer couldn't store, that the API overrides, or that
    have been paused for more than a day."""
    names_by_organization, deployed_at = _read_declared(deployed)
    for organization, names in sorted(names_by_organization.items()):
        stored_items = _read_stored(deployed, organization)
        for name in sorted(names):
            item = stored_items.get(name, {})
            if not item or "deleted_at" in item:
                missing_since = max(deployed_at, _seconds(item.get("deleted_at")))
                if time.time() - missing_since > _MAX_STORE_SECONDS:
                    yield _missing_issue(deployed, organization, name)
            elif item["origin"]["S"] == "api":
                yield _override_issue(organization, name)
            elif "paused_at" in item:
                days = days_in_words(item["paused_at"]["N"])
                if days:
                    yield _pause_issue(organization, name, days)


def _missing_issue(deployed: Deployed, organization: str, name: str) -> Issue:
    return Issue(
        f"The schedule {name} of {organization}, declared in code, isn't active, because the timer "
        "couldn't store it. It dispatches no jobs.",
        'The timer\'s log has the reason in a line "schedule not declared": '
        f"aws logs tail {deployed.physical_id('TimerLogGroup')} --since 1h",
    )


def _override_issue(organization: str, name: str) -> Issue:
    return Issue(
        f"The schedule {name} of {organization}, declared in code, isn't active, because a "
        "schedule of the same name was added over the API.",
        f"To use the one in code: job-runners schedules delete {name} --organization "
        f"{organization}. It becomes active within 5 minutes.",
        Verdict.ADVICE,
    )


def _pause_issue(organization: str, name: str, days: str) -> Issue:
    return Issue(
        f"The schedule {name} of {organization} has been paused for {days}. It dispatches no jobs, "
        "and its occurrences are skipped.",
        "If the pause isn't needed any more: "
        f"job-runners schedules resume {name} --organization {organization}",
        Verdict.ADVICE,
    )


def _read_declared(deployed: Deployed) -> tuple[dict[str, set[str]], float]:
    """Return the names of the latest deploy's schedules, by organization, and the deploy's time."""
    items = deployed.coordination_items("schedules")
    deploys = [item for item in items if item["sk"]["S"].startswith(_DEPLOY_PREFIX)]
    if not deploys:
        return {}, 0
    latest_deploy = max(deploys, key=lambda deploy: int(deploy["since"]["N"]))
    names_by_organization: dict[str, set[str]] = defaultdict(set)
    for organization, name in json.loads(latest_deploy["declares"]["S"]):
        names_by_organization[organization].add(name)
    return names_by_organization, _seconds(latest_deploy["since"])


def _read_stored(deployed: Deployed, organization: str) -> dict[str, Item]:
    """Return an organization's schedules, including deleted ones, by name."""
    items = deployed.coordination_items(f"schedules#{organization}")
    return {item["sk"]["S"]: item for item in items}


def _seconds(attribute: dict[str, str] | None) -> float:
    """Return a stored time in seconds, or 0 if the item lacks the attribute."""
    return int(attribute["N"]) / 1000 if attribute else 0
