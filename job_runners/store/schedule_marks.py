"""Marks: items that tell the timer function whether there are schedules.

One mark records that schedules exist. Each of the others records that a deploy is active, and which
schedules its code declares. All marks are in one DynamoDB partition of the coordination table. If
there are no schedules, a timer run reads only this partition, and finds nothing.
"""

import json
from collections.abc import Iterable

from pynamodb.attributes import JSONAttribute, UnicodeAttribute

from job_runners import clock
from job_runners.aws.errors import try_write
from job_runners.store.table import CoordinationItem, Integer

PARTITION = "schedules"  # the partition key of the marks
# The maximum size of a deploy's declarations. A DynamoDB item has at most 400 KB.
MAX_BYTES = 380_000
_IN_USE_KEY = "in use"  # the sort key of the mark that schedules exist
_DEPLOY_PREFIX = "deploy#"  # begins the sort key of a deploy's mark


class Mark(CoordinationItem):
    """The mark that schedules exist, or the mark of one deploy."""

    how_erased = "not at all: it belongs to the stack"

    pk = UnicodeAttribute(hash_key=True, default=PARTITION)
    sk = UnicodeAttribute(range_key=True)
    # Only a deploy's mark has the following fields.
    since = Integer(default=0)  # when the deploy was first seen, or seen again after an absence
    seen_at = Integer(default=0)  # when the deploy was last seen
    declares = JSONAttribute(null=True)  # the schedules that it declares, as a list of pairs

    @property
    def deploy(self) -> str | None:
        """Return the name of the deploy, or None if this isn't a deploy's mark."""
        if not self.sk.startswith(_DEPLOY_PREFIX):
            return None
        return self.sk.removeprefix(_DEPLOY_PREFIX)

    @property
    def declared(self) -> set[tuple[str, str]]:
        """Return the organizations and names of the schedules that the deploy declares."""
        return {(organization_id, name) for organization_id, name in self.declares}


def marks() -> list[Mark]:
    """Return all marks. There are none if there are no schedules."""
    return list(Mark.query(PARTITION, consistent_read=True))


def record_in_use() -> None:
    """Store the mark that schedules exist. Call this before a schedule is stored."""
    Mark(PARTITION, _IN_USE_KEY).save()


def note_deploy(deploy: str, since: int, declares: Iterable[tuple[str, str]]) -> Mark:
    """Record that a deploy is active, and which schedules it declares."""
    mark = Mark(PARTITION, f"{_DEPLOY_PREFIX}{deploy}", since=since, seen_at=clock.now())
    mark.declares = _sorted_pairs(declares)
    mark.save()
    return mark


def size_of(declares: Iterable[tuple[str, str]]) -> int:
    """Return how many bytes these declarations take in a deploy's mark."""
    return len(json.dumps(_sorted_pairs(declares)))


def _sorted_pairs(declares: Iterable[tuple[str, str]]) -> list[list[str]]:
    return sorted(list(pair) for pair in declares)


def forget_deploy(mark: Mark) -> None:
    """Delete a deploy's mark, unless the deploy was seen again since the mark was read."""
    is_unchanged = Mark.seen_at == mark.seen_at
    try_write(lambda: mark.delete(is_unchanged))
