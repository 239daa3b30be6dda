"""Parse standard JSON, and refuse values that a later reader may not accept.

Python's parser accepts NaN, duplicate keys, numbers of any length, NUL and half a surrogate pair.
If the text is nested too deeply, it raises RecursionError or crashes. So the depth is checked
before the text is parsed. During parsing, an unacceptable number, constant or object becomes a
_Flaw. A search then finds the first flaw or forbidden character, so that the error can name its
path.
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
_MAX_QUOTED_LENGTH = 100  # characters of a key in an error message

# Strings, and what is between brackets. Possessive, so that matching takes linear time.
_NOT_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[^\[\]{}"]++', re.DOTALL)
_DEPTH_CHANGE = {"[": 1, "{": 1, "]": -1, "}": -1}
_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")


class NotStrict(ValueError):
    """The text isn't JSON, or has a value that isn't accepted. The message gives the value's path,
    but not the value."""


class _Flaw(NamedTuple):
    """A placeholder for a value that isn't accepted, in the parsed JSON."""

    description: str  # a noun phrase for the error message


def parse(text: str, source: str = "The body") -> Any:
    """Return the value of a JSON text. Raises NotStrict, with a message about the `source`."""
    _check_depth(text, source)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        message = error.msg.removesuffix(" at")
        place = f"line {error.lineno}, column {error.colno}"
        raise NotStrict(f"{source} isn't JSON: {message} ({place}).") from None
    first_flaw = next(_find_flaws(value), None)
    if first_flaw is not None:
        path, description = first_flaw
        raise NotStrict(f"{source} has {description} at {path}.")
    return value


def _check_depth(text: str, source: str) -> None:
    """Raise NotStrict for text that is nested too deeply for the recursive parser."""
    # Count only the brackets outside strings.
    brackets = _NOT_BRACKETS.sub("", text)
    depths = accumulate(_DEPTH_CHANGE[bracket] for bracket in brackets)
    if max(depths, default=0) > MAX_DEPTH:
        raise NotStrict(f"{source} is more than {MAX_DEPTH} levels deep.")


def _find_flaws(value: Any, path: str = "$") -> Iterator[tuple[str, str]]:
    """Yield the path and a description of each value that isn't accepted. `value` has at most
    MAX_DEPTH levels."""
    match value:
        case _Flaw():
            yield path, value.description
        case str():
            forbidden = _FORBIDDEN.search(value)
            if forbidden:
                yield path, _describe_character(forbidden[0])
        case dict():
            for key, item in value.items():
                forbidden = _FORBIDDEN.search(key)
                if forbidden:
                    yield f"a key of {path}", _describe_character(forbidden[0])
                yield from _find_flaws(item, f"{path}.{key[:_MAX_QUOTED_LENGTH]}")
        case list():
            for index, item in enumerate(value):
                yield from _find_flaws(item, f"{path}[{index}]")


def _describe_character(character: str) -> str:
    name = "NUL" if character == "\x00" else "half a surrogate pair"
    return f"text with {name} (U+{ord(character):04X})"


def _build_object(pairs: list[tuple[str, Any]]) -> Any:
    """Return an object as a dict, or a flaw if it has a key twice."""
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    duplicate, _ = Counter(key for key, _ in pairs).most_common(1)[0]
    return _Flaw(f"the key {duplicate[:_MAX_QUOTED_LENGTH]!r} twice in the object")


def _parse_integer(digits: str) -> int | _Flaw:
    return int(digits) if len(digits) <= MAX_NUMBER_LENGTH else _long_number()


def _parse_float(digits: str) -> float | _Flaw:
    if len(digits) > MAX_NUMBER_LENGTH:
        return _long_number()
    number = float(digits)
    return _Flaw("a number too large for a double") if isinf(number) else number


def _long_number() -> _Flaw:
    return _Flaw(f"a number of more than {MAX_NUMBER_LENGTH} characters (send it as a string)")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_object,
    parse_int=_parse_integer,
    parse_float=_parse_float,
    parse_constant=lambda name: _Flaw(f"{name}, which isn't JSON,"),
)
