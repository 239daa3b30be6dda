"""How many jobs wait in a line of a queue."""

from pynamodb.attributes import UnicodeAttribute

from store.limits import line_key
from store.table import Table

WAITING = "wait#"  # how the sort key of every job that waits in a line begins


class Entry(Table):
    """A job that waits in a line, as far as it takes to count it."""

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "COORDINATION_TABLE_NAME"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)


def count_waiting(queue_name: str, key: str, most: int) -> int:
    """Return how many jobs wait in a line, counted up to `most`.

    One unit of reading for some 40 to 80 of them; those that came a moment ago may be missing.
    """
    return Entry.count_up_to(most, line_key(queue_name, key), Entry.sk.startswith(WAITING))
