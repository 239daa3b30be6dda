"""The rule for the names of queues, organizations and campaigns, and for keys.

Logs, terminals and the dashboard show names, and the keys of rows contain them. So a name has no
control characters (C0, DEL, C1), no line separators, and no bidirectional controls, which could
make "gnp.exe" look like "exe.png".
"""

import re

LONGEST = 128  # characters

# These patterns mean the same in Python, pydantic and JSON Schema.
UNFIT = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
NAME = rf"^[^#/{UNFIT}]+$"  # "#" and "/" join the parts of keys
KEY = rf"^[^{UNFIT}]+$"  # of an idempotency key, which is always hashed

DOTS = (".", "..")  # not allowed: in an HTTP path they mean a folder, and never reach the API

RULE = f"1 to {LONGEST} characters, not . or .., and without #, / and control characters"

_NAME = rf"[^#/{UNFIT}]{{1,{LONGEST}}}"


def without_surrogates(text: str) -> str:
    """Return the text with "?" for each lone surrogate, because UTF-8 and so DynamoDB can't store
    them. File names that aren't UTF-8 have them."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def is_name(text: str) -> bool:
    """Return whether the text is a valid name."""
    if text.isidentifier() and len(text) <= LONGEST:
        return True  # true for most names, so that a cold start doesn't compile the pattern
    return text not in DOTS and re.fullmatch(_NAME, text) is not None
