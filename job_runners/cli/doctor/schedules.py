"""The schedules that the code declares: in force, and not hidden by others of their names."""

import json
from collections.abc import Iterator

from job_runners.cli.doctor.check import Issue, Verdict
from job_runners.cli.doctor.deployed import Deployed
from job_runners.cli.erasing.items import partition

_DEPLOY = "deploy#"  # how the mark of a deploy begins, beside the schedules


def schedules(deployed: Deployed) -> Iterator[Issue]:
    """Yield what an organisation has put under the name of a schedule that the code declares."""
    dynamodb, table = deployed.client("dynamodb"), deployed.id("CoordinationTable")
    declared = _declared(deployed)
    for organization in sorted({each for each, _ in declared}):
        place = f"schedules#{organization}"
        asked = ("sk", "origin", "deleted_at")
        for item in partition(dynamodb, table, "pk", place, asked, ConsistentRead=True):
            name = item["sk"]["S"]
            is_theirs = item["origin"]["S"] == "api" and "deleted_at" not in item
            if is_theirs and (organization, name) in declared:
                yield Issue(
                    f"The schedule {name} of {organization} that the code declares is not in "
                    "force: the organisation has put another one of that name.",
                    f"If the code's is meant: jobs schedules delete {name} "
                    f"--organization {organization}, and within 5 minutes it is in force.",
                    Verdict.ADVICE,
                )


def _declared(deployed: Deployed) -> set[tuple[str, str]]:
    """Return what the deploy declares that came last: organisations and names."""
    dynamodb, table = deployed.client("dynamodb"), deployed.id("CoordinationTable")
    marks = [
        each
        for each in partition(
            dynamodb, table, "pk", "schedules", ("sk", "since", "declares"), ConsistentRead=True
        )
        if each["sk"]["S"].startswith(_DEPLOY)
    ]
    if not marks:
        return set()
    latest = max(marks, key=lambda mark: int(mark["since"]["N"]))
    return {(organization, name) for organization, name in json.loads(latest["declares"]["S"])}
