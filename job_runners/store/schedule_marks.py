"""Marks: one records that schedules exist, the others record which deploys are active.

They have their own DynamoDB partition in the coordination table. In a stack without schedules, a
timer run reads only that partition, and finds nothing.
"""

import json
from collections.abc import Iterable

from pynamodb.attributes import JSONAttribute, UnicodeAttribute

from job_runners import clock
from job_runners.aws.errors import try_write
from job_runners.store.table import CoordinationItem, Integer

PARTITION = "schedules"  # the partition key of the marks
# The largest declarations of a deploy. A DynamoDB item has at most 400 KB.
MAX_BYTES = 380_000
_IN_USE = "in use"
_DEPLOY = "deploy#"


class Mark(CoordinationItem):
    """The mark that schedules exist, or the mark of one deploy with the schedules it declares."""

    erasure = "none: it belongs to the stack"

    pk = UnicodeAttribute(hash_key=True, default=PARTITION)
    sk = UnicodeAttribute(range_key=True)
    # only in the mark of a deploy
    since = Integer(default=0)  # when the timer first saw it, or saw it again after an absence
    seen_at = Integer(default=0)  # when the timer last saw it
    declares = JSONAttribute(null=True)  # the organizations and names of its schedules

    @property
    def deploy(self) -> str | None:
        """Return the deploy that this mark belongs to, or None if it isn't a deploy's mark."""
        return self.sk.removeprefix(_DEPLOY) if self.sk.startswith(_DEPLOY) else None

    @property
    def declared(self) -> set[tuple[str, str]]:
        """Return the (organization, name) pairs of the schedules that the deploy declares."""
        return {(organization_id, name) for organization_id, name in self.declares}


def marks() -> list[Mark]:
    """Return all marks. There are none if there are no schedules."""
    return list(Mark.query(PARTITION, consistent_read=True))


def note_in_use() -> None:
    """Make the timer look for schedules. Call this before the first schedule is stored."""
    Mark(PARTITION, _IN_USE).save()


def note_deploy(deploy: str, since: int, declares: Iterable[tuple[str, str]]) -> Mark:
    """Record that a deploy is active, and which schedules it declares."""
    mark = Mark(PARTITION, f"{_DEPLOY}{deploy}", since=since, seen_at=clock.now())
    mark.declares = _sorted_pairs(declares)
    mark.save()
    return mark


def size_of(declares: Iterable[tuple[str, str]]) -> int:
    """Return the size of a deploy's declarations in its mark, in bytes."""
    return len(json.dumps(_sorted_pairs(declares)))


def _sorted_pairs(declares: Iterable[tuple[str, str]]) -> list[list[str]]:
    return sorted(list(pair) for pair in declares)


def forget_deploy(mark: Mark) -> None:
    """Delete a deploy's mark, unless the deploy was seen again since the mark was read."""
    try_write(lambda: mark.delete(Mark.seen_at == mark.seen_at))
