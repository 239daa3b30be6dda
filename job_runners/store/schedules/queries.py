"""Read schedules: by name, a page of an organization's schedules, or the due ones."""

from collections.abc import Iterable

from job_runners import names
from job_runners.errors import InvalidCursor
from job_runners.store import cursors
from job_runners.store.schedules.schedule import Schedule, partition_of

_MARK = "s"  # the first letter of this list's cursors: see job_runners.store.cursors


def read(organization_id: str, name: str) -> Schedule | None:
    """Read a schedule or its stub consistently. Return None if there is neither."""
    return Schedule.find(partition_of(organization_id), name)


def read_many(keys: Iterable[tuple[str, str]]) -> list[Schedule]:
    """Return the schedules and stubs that exist for these keys, in the order of the keys."""
    item_keys = [(partition_of(organization_id), name) for organization_id, name in keys]
    items = Schedule.batch_get(item_keys, consistent_read=True)
    schedules = {(item.pk, item.sk): item for item in items}
    return [schedules[key] for key in item_keys if key in schedules]


def page(
    organization_id: str, *, limit: int, cursor: str | None = None
) -> tuple[list[Schedule], str | None]:
    """Return an organization's schedules, ordered by name, and a cursor if there are more.

    Raises InvalidCursor.
    """
    after = _name_of(cursor) if cursor else ""
    # DynamoDB refuses an empty sort key, so "\0" is appended. Names have no control characters, so
    # no name sorts between `after` and `after` plus "\0".
    later = Schedule.sk > f"{after}\0"
    schedules: list[Schedule] = []
    for schedule in Schedule.query(
        partition_of(organization_id), later, consistent_read=True, page_size=limit + 1
    ):
        if schedule.is_deleted:
            continue
        if len(schedules) == limit:
            return schedules, cursors.encode(_MARK, schedules[-1].name)
        schedules.append(schedule)
    return schedules, None


def count(organization_id: str, limit: int) -> int:
    """Count the schedules and stubs of an organization, up to `limit`."""
    return Schedule.count_up_to(limit, partition_of(organization_id), None)


def due(shard: str, until: int, limit: int) -> list[Schedule]:
    """Return a shard's due schedules, longest due first, with only their keys and `due_at`."""
    return list(Schedule.due.query(shard, Schedule.due_at <= until, limit=limit))


def _name_of(cursor: str) -> str:
    name = cursors.decode(_MARK, cursor)
    if not names.is_name(name):
        raise InvalidCursor
    return name
