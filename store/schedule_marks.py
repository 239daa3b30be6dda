"""Marks beside the schedules: that there are any, and which deploys are at work.

They are a partition of their own of the coordination table. A tick of a stack without schedules
reads it, finds nothing, and is done.
"""

import json
from collections.abc import Iterable

from pynamodb.exceptions import DeleteError

import clock
from aws.errors import condition_failed
from store.attributes import JSONAttribute, UnicodeAttribute
from store.table import Integer, Table

PARTITION = "schedules"  # of what is about all of them
# Bytes of what a deploy declares. An item of DynamoDB has room for 400 KB in all.
LARGEST = 380_000
_IN_USE = "in use"
_DEPLOY = "deploy#"


class Mark(Table):
    """That there are schedules; or a deploy, and what its code declares."""

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "COORDINATION_TABLE_NAME"

    pk = UnicodeAttribute(hash_key=True, default=PARTITION)
    sk = UnicodeAttribute(range_key=True)
    since = Integer(default=0)  # of a deploy: when it was first heard of, or heard of again
    seen_at = Integer(default=0)  # when it was heard of last
    declares = JSONAttribute(null=True)  # organisations and names

    @property
    def deploy(self) -> str | None:
        """Return which deploy it is of."""
        return self.sk.removeprefix(_DEPLOY) if self.sk.startswith(_DEPLOY) else None

    @property
    def declared(self) -> set[tuple[str, str]]:
        """Return whose schedules the deploy declares, and their names."""
        return {(organization_id, name) for organization_id, name in self.declares}


def marks() -> list[Mark]:
    """Return every mark: none if there are no schedules."""
    return list(Mark.query(PARTITION, consistent_read=True))


def note_in_use() -> None:
    """Have timers look for schedules: before the first one is stored."""
    Mark(PARTITION, _IN_USE).save()


def note_deploy(deploy: str, since: int, declares: Iterable[tuple[str, str]]) -> Mark:
    """Note that a deploy is there, and what it declares."""
    mark = Mark(PARTITION, f"{_DEPLOY}{deploy}", since=since, seen_at=clock.now())
    mark.declares = _listed(declares)
    mark.save()
    return mark


def size_of(declares: Iterable[tuple[str, str]]) -> int:
    """Return how many bytes the mark of a deploy takes for what it declares."""
    return len(json.dumps(_listed(declares)))


def _listed(declares: Iterable[tuple[str, str]]) -> list[list[str]]:
    return sorted(list(each) for each in declares)


def forget_deploy(mark: Mark) -> None:
    """Forget a deploy, unless it was heard of since it was read."""
    try:
        mark.delete(Mark.seen_at == mark.seen_at)
    except DeleteError as error:
        if not condition_failed(error):
            raise
