"""Check the names of queues, organizations, signals and other things that callers name.

Logs, terminals and the dashboard show names, and keys of stored rows contain them. So names can't
have control characters (C0, DEL, C1), line separators, or bidirectional controls, which could make
"gnp.exe" look like "exe.png".
"""

import re

MAX_LENGTH = 128  # characters

# These patterns have the same meaning in Python, pydantic and JSON Schema.
UNFIT = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
NAME = rf"^[^#/{UNFIT}]+$"  # "#" and "/" join the parts of keys
KEY = rf"^[^{UNFIT}]+$"  # for an idempotency key, which may contain "#" and "/": it is hashed

# These can't be names, because HTTP clients resolve them in a path, so they never reach the API.
DOTS = (".", "..")

RULE = f"1 to {MAX_LENGTH} characters, not . or .., and without #, / and control characters"

_NAME = rf"[^#/{UNFIT}]{{1,{MAX_LENGTH}}}"


def check_signal_name(text: str) -> None:
    """Raise ValueError if the text isn't a valid name of a signal."""
    check_name(text, "a signal")


def check_name(text: str, noun: str) -> None:
    """Raise ValueError if the text isn't a valid name. `noun` says of what, such as "a queue"."""
    if not is_name(text):
        raise ValueError(f"{text[:MAX_LENGTH]!r} isn't the name of {noun}. Use {RULE}.")


def without_surrogates(text: str) -> str:
    """Return the text with "?" in place of each lone surrogate.

    UTF-8 can't encode lone surrogates, so DynamoDB can't store them. They come from file names that
    aren't UTF-8.
    """
    if text.isascii():
        return text
    return text.encode(errors="replace").decode()


def is_name(text: str) -> bool:
    """Return whether the text is a valid name."""
    if text.isidentifier() and len(text) <= MAX_LENGTH:
        return True  # most names end here, so a cold start usually doesn't compile the pattern
    return text not in DOTS and re.fullmatch(_NAME, text) is not None
