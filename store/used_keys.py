"""The keys that each queue with limits has been used with: they can be listed without a scan."""

from pynamodb.attributes import UnicodeAttribute

import clock
from store.lines import LIFETIME
from store.table import Integer, Table

_LAST = "\U0010ffff"  # after every character that a key has


class UsedKey(Table):
    """A key that a queue has been used with, so that its keys can be listed without a scan."""

    class Meta:
        table_name = ""  # from table_setting, at first use

    table_setting = "COORDINATION_TABLE_NAME"

    pk = UnicodeAttribute(hash_key=True)  # the queue
    sk = UnicodeAttribute(range_key=True)  # the key
    expires_at = Integer()  # in seconds, for TTL


def note(queue_name: str, queue_key: str) -> None:
    """List a key with its queue."""
    expires_at = (clock.now() + LIFETIME) // clock.SECOND
    UsedKey(f"keys#{queue_name}", queue_key, expires_at=expires_at).save()


def used(queue_name: str, most: int, after: str = "", prefix: str = "") -> list[str]:
    """Return the keys that a queue has been used with, in order, those that follow `after`; those
    alone that begin with the prefix."""
    # No key has a control character: the text of `after` and one sorts directly behind it.
    keys = UsedKey.sk.between(max(prefix, f"{after}\0"), prefix + _LAST)
    found = UsedKey.query(f"keys#{queue_name}", keys, consistent_read=True, limit=most)
    return [key.sk for key in found]
