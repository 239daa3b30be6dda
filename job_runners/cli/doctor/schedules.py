"""The schedules that the code declares: in force, and not hidden by others of their names."""

import json
import time
from collections.abc import Iterator

from job_runners.cli.doctor.check import Issue, Verdict
from job_runners.cli.doctor.deployed import Deployed
from job_runners.cli.erasing.items import Item, partition

_DEPLOY = "deploy#"  # how the mark of a deploy begins, beside the schedules
# The timer looks at what is declared every 5 minutes: what is not there after two looks, it can't
# store.
_STORED_WITHIN = 10 * 60  # seconds


def schedules(deployed: Deployed) -> Iterator[Issue]:
    """Yield which schedules that the code declares are not in force: nobody could store them, or
    an organisation has put another one of that name."""
    declared, since = _declared(deployed)
    late = time.time() - _STORED_WITHIN
    for organization in sorted({each for each, _ in declared}):
        stored = _stored(deployed, organization)
        for name in sorted(name for whose, name in declared if whose == organization):
            item = stored.get(name, {})
            if not item or "deleted_at" in item:
                if max(since, _seconds(item.get("deleted_at"))) < late:
                    yield _missing(deployed, organization, name)
            elif item["origin"]["S"] == "api":
                yield _hidden(organization, name)


def _missing(deployed: Deployed, organization: str, name: str) -> Issue:
    return Issue(
        f"The schedule {name} of {organization} that the code declares is not in force: the timer "
        "could not store it. Its jobs do not come.",
        'The timer\'s log says why, in a line "schedule not declared": '
        f"aws logs tail {deployed.id('TimerLogGroup')} --since 1h",
    )


def _hidden(organization: str, name: str) -> Issue:
    return Issue(
        f"The schedule {name} of {organization} that the code declares is not in force: the "
        "organisation has put another one of that name.",
        f"If the code's is meant: jobs schedules delete {name} "
        f"--organization {organization}, and within 5 minutes it is in force.",
        Verdict.ADVICE,
    )


def _declared(deployed: Deployed) -> tuple[set[tuple[str, str]], float]:
    """Return what the deploy declares that came last, organisations and names, and when it came."""
    found = _read(deployed, "schedules", "sk", "since", "declares")
    marks = [each for each in found if each["sk"]["S"].startswith(_DEPLOY)]
    if not marks:
        return set(), 0
    latest = max(marks, key=lambda mark: int(mark["since"]["N"]))
    declares = json.loads(latest["declares"]["S"])
    return {(organization, name) for organization, name in declares}, _seconds(latest["since"])


def _stored(deployed: Deployed, organization: str) -> dict[str, Item]:
    """Return the schedules of an organisation, deleted ones too, by name."""
    found = _read(deployed, f"schedules#{organization}", "sk", "origin", "deleted_at")
    return {item["sk"]["S"]: item for item in found}


def _read(deployed: Deployed, place: str, *names: str) -> Iterator[Item]:
    """Yield these attributes of all items of a partition, as they are now."""
    dynamodb, table = deployed.client("dynamodb"), deployed.id("CoordinationTable")
    return partition(dynamodb, table, "pk", place, names, ConsistentRead=True)


def _seconds(at: dict[str, str] | None) -> float:
    """Return a time of a row, which is in milliseconds; 0 if there is none."""
    return int(at["N"]) / 1000 if at else 0
