"""The rule for the names of queues and organizations, and for keys.

Logs, terminals and the dashboard show names, and the keys of rows contain them. So a name has no
control characters (C0, DEL, C1), no line separators, and no bidirectional controls, which could
make "gnp.exe" look like "exe.png".
"""

import re

LONGEST = 128  # characters

# These patterns have the same meaning in Python, pydantic and JSON Schema.
UNFIT = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
NAME = rf"^[^#/{UNFIT}]+$"  # "#" and "/" join the parts of keys
KEY = rf"^[^{UNFIT}]+$"  # for an idempotency key, which may contain "#" and "/": it is hashed

# These aren't allowed as names. In an HTTP path they mean a folder, so they never reach the API.
DOTS = (".", "..")

RULE = f"1 to {LONGEST} characters, not . or .., and without #, / and control characters"

_NAME = rf"[^#/{UNFIT}]{{1,{LONGEST}}}"


def check_signal_name(text: str) -> None:
    """Raise ValueError if the text isn't a valid name of a signal."""
    check_name(text, "a signal")


def check_name(text: str, of: str) -> None:
    """Raise ValueError if the text isn't a valid name `of` something."""
    if not is_name(text):
        raise ValueError(f"{text[:LONGEST]!r} isn't the name of {of}. Use {RULE}.")


def without_surrogates(text: str) -> str:
    """Return the text with "?" in place of each lone surrogate.

    UTF-8 can't encode lone surrogates, so DynamoDB can't store them. They come from file names that
    aren't UTF-8.
    """
    return text if text.isascii() else text.encode(errors="replace").decode()


def is_name(text: str) -> bool:
    """Return whether the text is a valid name."""
    if text.isidentifier() and len(text) <= LONGEST:
        return True  # most names end here, so a cold start usually doesn't compile the pattern
    return text not in DOTS and re.fullmatch(_NAME, text) is not None
