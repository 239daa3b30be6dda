"""Cursors: positions in a list, encoded as text that fits in a URL.

Each list has its own mark, and refuses the cursors of other lists. A cursor names no
organization, because the server adds it. So no cursor reaches another organization's list.
"""

import base64

from job_runners.errors import InvalidCursor


def encode(mark: str, position: str) -> str:
    """Return the cursor of a position in the list with this mark."""
    return base64.urlsafe_b64encode(f"{mark}{position}".encode()).decode().rstrip("=")


def decode(mark: str, cursor: str) -> str:
    """Return the position that a cursor encodes. Raises InvalidCursor if the cursor doesn't have
    this mark.

    The caller must check whether the position is valid.
    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except ValueError:
        raise InvalidCursor from None
    if not text.startswith(mark):
        raise InvalidCursor
    return text.removeprefix(mark)
