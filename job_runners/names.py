"""Check the names of queues, organizations, signals and other things that callers name.

Names appear in logs, on terminals, in the dashboard, and in the keys of stored rows. So they can't
contain control characters (C0, DEL, C1), line separators, or bidirectional controls, which could
make "gnp.exe" look like "exe.png".
"""

import re

MAX_LENGTH = 128  # characters

# These patterns mean the same in Python, pydantic and JSON Schema. They don't limit the length.
FORBIDDEN = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
NAME = rf"^[^#/{FORBIDDEN}]+$"  # "#" and "/" separate the parts of stored keys
KEY = rf"^[^{FORBIDDEN}]+$"  # an idempotency key may contain "#" and "/", because it is hashed

# These can't be names: HTTP clients resolve them in a path, so they never reach the API.
DOTS = (".", "..")

RULE = f"1 to {MAX_LENGTH} characters, not . or .., and without #, / and control characters"

_SHORT_NAME = rf"[^#/{FORBIDDEN}]{{1,{MAX_LENGTH}}}"


def check_signal_name(text: str) -> None:
    """Raise ValueError if the text isn't a valid name of a signal."""
    check_name(text, "a signal")


def check_name(text: str, noun: str) -> None:
    """Raise ValueError if the text isn't a valid name of `noun`, such as "a queue"."""
    if not is_name(text):
        raise ValueError(f"{text[:MAX_LENGTH]!r} isn't the name of {noun}. Use {RULE}.")


def is_name(text: str) -> bool:
    """Return whether the text is a valid name."""
    # Most names are identifiers. For these, a cold start doesn't have to compile the pattern.
    if text.isidentifier() and len(text) <= MAX_LENGTH:
        return True
    return text not in DOTS and re.fullmatch(_SHORT_NAME, text) is not None


def without_surrogates(text: str) -> str:
    """Return the text with each lone surrogate replaced by "?".

    UTF-8 can't encode lone surrogates, so DynamoDB can't store them. Python puts them into file
    names that aren't UTF-8.
    """
    if text.isascii():
        return text
    return text.encode(errors="replace").decode()
