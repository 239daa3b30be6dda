"""What a name is: the one rule for queues, organisations, campaigns and keys.

A name is shown in logs, in terminals and on the page, and joins the keys of rows. So it has no
character that steers a terminal (C0, DEL, C1), that breaks a line where nobody expects one, or that
turns the text around it (bidirectional controls: "gnp.exe" can be made to look like "exe.png").
"""

import re

LONGEST = 128  # characters

# As patterns of Python, of pydantic and of JSON Schema spell it alike.
UNFIT = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
NAME = rf"^[^#/{UNFIT}]+$"  # "#" and "/" join the parts of keys
KEY = rf"^[^{UNFIT}]+$"  # of an idempotency key, which is only ever hashed

DOTS = (".", "..")  # no name: in a path of HTTP they mean a folder, and never arrive

RULE = f"1 to {LONGEST} characters, not . or .., and without #, / and control characters"

_NAME = rf"[^#/{UNFIT}]{{1,{LONGEST}}}"


def without_surrogates(text: str) -> str:
    """Return the text with "?" for each lone surrogate, which UTF-8 and so DynamoDB have no form
    for. File names that are not UTF-8 have them."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def is_name(text: str) -> bool:
    """Return whether the text can be a name."""
    if text.isidentifier() and len(text) <= LONGEST:
        return True  # as most are: a start need not compile the pattern for them
    return text not in DOTS and re.fullmatch(_NAME, text) is not None
