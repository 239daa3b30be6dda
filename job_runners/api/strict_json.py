"""Parse standard JSON, and refuse values that a later reader may not accept.

Python's parser accepts NaN, duplicate keys, numbers of any length, NUL and half a surrogate pair.
Deep nesting makes it raise RecursionError, or crash.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from math import isinf
from typing import Any, NamedTuple

MAX_DEPTH = 64  # levels of objects and arrays
MAX_NUMBER_LENGTH = 128  # characters
_MAX_KEY_LENGTH = 100  # characters of a key in a message

_STRING = r'"(?:[^"\\]++|\\.)*+"?'  # possessive, so that matching takes linear time
_NO_BRACKETS = re.compile(rf"{_STRING}|[^\[\]{{}}\"]++", re.DOTALL)
_TOKENS = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)  # strings and brackets
_DEPTH_CHANGE = {"[": 1, "{": 1, "]": -1, "}": -1}
_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")


class NotStrict(ValueError):
    """The text isn't JSON, or has a value that isn't accepted.

    The message says where the value is, and never quotes it.
    """


class _Flaw(NamedTuple):
    """A placeholder in the parsed JSON for a value that isn't accepted."""

    why: str  # a noun phrase for the message


def parse(text: str) -> Any:
    """Return the value of a JSON text; raises NotStrict."""
    _check_depth(text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        message = error.msg.removesuffix(" at")
        place = f"line {error.lineno}, column {error.colno}"
        raise NotStrict(f"The body isn't JSON: {message} ({place}).") from None
    first_flaw = next(_flaws(value), None)
    if first_flaw is not None:
        path, why = first_flaw
        raise NotStrict(f"The body has {why} at {path}.")
    return value


def _check_depth(text: str) -> None:
    """Raise NotStrict for text that is nested too deeply for the recursive parser."""
    brackets = _NO_BRACKETS.sub("", text)
    depths = accumulate(_DEPTH_CHANGE[bracket] for bracket in brackets)
    if max(depths, default=0) <= MAX_DEPTH:
        return
    # The text is too deep. Find the place for the message, which takes longer than the check.
    depth = 0
    for token in _TOKENS.finditer(text):
        depth += _DEPTH_CHANGE.get(token[0], 0)
        if depth > MAX_DEPTH:
            line = text.count("\n", 0, token.start()) + 1
            column = token.start() - text.rfind("\n", 0, token.start())
            raise NotStrict(
                f"The body is more than {MAX_DEPTH} levels deep (line {line}, column {column})."
            )


def _flaws(value: Any, path: str = "$") -> Iterator[tuple[str, str]]:
    """Yield the path and a description of each value that isn't accepted. `value` has at most
    MAX_DEPTH levels."""
    match value:
        case _Flaw():
            yield path, value.why
        case str():
            forbidden = _FORBIDDEN.search(value)
            if forbidden:
                yield path, _describe(forbidden[0])
        case dict():
            for key, item in value.items():
                forbidden = _FORBIDDEN.search(key)
                if forbidden:
                    yield f"a key of {path}", _describe(forbidden[0])
                yield from _flaws(item, f"{path}.{key[:_MAX_KEY_LENGTH]}")
        case list():
            for index, item in enumerate(value):
                yield from _flaws(item, f"{path}[{index}]")


def _describe(character: str) -> str:
    name = "NUL" if character == "\x00" else "half a surrogate pair"
    return f"text with {name} (U+{ord(character):04X})"


def _build_object(pairs: list[tuple[str, Any]]) -> Any:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    duplicate, _ = Counter(key for key, _ in pairs).most_common(1)[0]
    return _Flaw(f"the key {duplicate[:_MAX_KEY_LENGTH]!r} twice in the object")


def _parse_integer(digits: str) -> int | _Flaw:
    return int(digits) if len(digits) <= MAX_NUMBER_LENGTH else _too_long()


def _parse_float(digits: str) -> float | _Flaw:
    if len(digits) > MAX_NUMBER_LENGTH:
        return _too_long()
    number = float(digits)
    return _Flaw("a number too large for a double") if isinf(number) else number


def _too_long() -> _Flaw:
    return _Flaw(f"a number of more than {MAX_NUMBER_LENGTH} characters (send it as a string)")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_object,
    parse_int=_parse_integer,
    parse_float=_parse_float,
    parse_constant=lambda name: _Flaw(f"{name}, which isn't JSON,"),
)
