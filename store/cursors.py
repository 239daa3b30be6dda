"""Cursors: where a list goes on, as a text that can be in an address.

Each list marks its own, so that it refuses another's. The server adds whose list it is: no cursor
can reach into another organisation's.
"""

import base64

from errors import InvalidCursor


def encode(mark: str, position: str) -> str:
    """Return the cursor of a position in the list of this mark."""
    return base64.urlsafe_b64encode(f"{mark}{position}".encode()).decode().rstrip("=")


def decode(mark: str, cursor: str) -> str:
    """Return the position that a cursor has. Raises InvalidCursor for one of another list, or of
    none; whether there is such a position is the list's to check."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except ValueError:
        raise InvalidCursor from None
    if not text.startswith(mark):
        raise InvalidCursor
    return text.removeprefix(mark)
