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

DEPTH = 64  # objects and arrays inside each other
NUMBER_LENGTH = 128  # characters
_SHOWN = 100  # characters of a key in a message

_STRING = r'"(?:[^"\\]++|\\.)*+"?'  # possessive, so that matching takes linear time
_NO_BRACKETS = re.compile(rf"{_STRING}|[^\[\]{{}}\"]++", re.DOTALL)
_TOKENS = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}
_UNFIT = re.compile("[\x00\ud800-\udfff]")


class NotStrict(ValueError):
    """The text isn't JSON, or has a value that isn't accepted.

    The message says where the value is, and never quotes it.
    """


class _Flaw(NamedTuple):
    """A placeholder in the parsed JSON for a value that isn't accepted.

    `why` is a noun phrase for the message.
    """

    why: str


def parse(text: str) -> Any:
    """Return the value of a JSON text; raises NotStrict."""
    _check_depth(text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")
        where = f"line {error.lineno}, column {error.colno}"
        raise NotStrict(f"The body isn't JSON: {what} ({where}).") from None
    for path, why in _flaws(value):
        raise NotStrict(f"The body has {why} at {path}.")
    return value


def _check_depth(text: str) -> None:
    """Raise NotStrict for text that is nested too deeply for the recursive parser."""
    brackets = _NO_BRACKETS.sub("", text)
    if max(accumulate(map(_STEP.__getitem__, brackets)), default=0) <= DEPTH:
        return
    depth = 0
    for token in _TOKENS.finditer(text):
        depth += _STEP.get(token[0], 0)
        if depth > DEPTH:
            line = text.count("\n", 0, token.start()) + 1
            column = token.start() - text.rfind("\n", 0, token.start())
            raise NotStrict(
                f"The body is more than {DEPTH} levels deep (line {line}, column {column})."
            )


def _flaws(value: Any, path: str = "$") -> Iterator[tuple[str, str]]:
    """Yield the path and a description of each value that isn't accepted. `value` has at most DEPTH
    levels."""
    match value:
        case _Flaw():
            yield path, value.why
        case str():
            if unfit := _UNFIT.search(value):
                yield path, _meaning(unfit[0])
        case dict():
            for key, each in value.items():
                if unfit := _UNFIT.search(key):
                    yield f"a key of {path}", _meaning(unfit[0])
                yield from _flaws(each, f"{path}.{key[:_SHOWN]}")
        case list():
            for index, each in enumerate(value):
                yield from _flaws(each, f"{path}[{index}]")


def _meaning(character: str) -> str:
    name = "NUL" if character == "\x00" else "half a surrogate pair"
    return f"text with {name} (U+{ord(character):04X})"


def _object(pairs: list[tuple[str, Any]]) -> Any:
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
    return _Flaw(f"the key {twice[:_SHOWN]!r} twice in the object")


def _integer(digits: str) -> int | _Flaw:
    return int(digits) if len(digits) <= NUMBER_LENGTH else _too_long()


def _float(digits: str) -> float | _Flaw:
    if len(digits) > NUMBER_LENGTH:
        return _too_long()
    number = float(digits)
    return _Flaw("a number too large for a double") if isinf(number) else number


def _too_long() -> _Flaw:
    return _Flaw(f"a number of more than {NUMBER_LENGTH} characters (send it as a string)")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_float,
    parse_constant=lambda name: _Flaw(f"{name}, which isn't JSON,"),
)
