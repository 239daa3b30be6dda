"""Cursors: positions in a list, encoded as text that fits in a URL.

Each list has a *mark*, a short prefix of its cursors, so that it can refuse the cursors of other
lists. A cursor doesn't name the organization, which the server knows from the caller. So no cursor
leads to another organization's list.
"""

import base64

from job_runners.errors import InvalidCursor


def encode(mark: str, position: str) -> str:
    """Return the cursor of a position in the list with this mark."""
    return base64.urlsafe_b64encode(f"{mark}{position}".encode()).decode().rstrip("=")


def decode(mark: str, cursor: str) -> str:
    """Return the position that a cursor encodes. The caller must check whether it is valid.

    Raises InvalidCursor if the cursor doesn't have this mark.
    """
    padding = "=" * (-len(cursor) % 4)
    try:
        text = base64.b64decode(cursor + padding, b"-_", validate=True).decode()
    except ValueError:
        raise InvalidCursor from None
    if not text.startswith(mark):
        raise InvalidCursor
    return text.removeprefix(mark)
