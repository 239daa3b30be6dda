"""Cursors: positions in a list, encoded as text that fits in a URL.

Each list has a short prefix for its cursors, so that it can refuse the cursors of other lists. A
cursor doesn't name the organization, because the caller determines that. So no cursor leads to
another organization's list.
"""

import base64

from job_runners.errors import InvalidCursor


def encode(prefix: str, position: str) -> str:
    """Return the cursor of a position in the list with this prefix."""
    return base64.urlsafe_b64encode(f"{prefix}{position}".encode()).decode().rstrip("=")


def decode(prefix: str, cursor: str) -> str:
    """Return the position that a cursor encodes. The caller must check that it is valid.

    Raises InvalidCursor if the cursor doesn't have this prefix.
    """
    padding = "=" * (-len(cursor) % 4)
    try:
        text = base64.b64decode(cursor + padding, b"-_", validate=True).decode()
    except ValueError:
        raise InvalidCursor from None
    if not text.startswith(prefix):
        raise InvalidCursor
    return text.removeprefix(prefix)
