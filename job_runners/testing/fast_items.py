"""The parts of moto that DynamoDB's items and expressions take most of their time in, made faster.

For each attribute of an item, moto measures all attributes before it. It splits the same condition
into words in each call. botocore signs requests, and moto never reads the signature. The functions
here skip this work. tests/testing/test_fast_moto.py compares each answer with
moto's own.
"""

from collections import deque
from functools import cache
from typing import Any

from botocore.signers import RequestSigner
from moto.dynamodb import responses
from moto.dynamodb.comparisons import ConditionExpressionParser
from moto.dynamodb.exceptions import ItemSizeTooLarge
from moto.dynamodb.models.dynamo_type import DynamoType, Item, LimitedSizeDict
from moto.dynamodb.parsing.expressions import UpdateExpressionParser  # type: ignore[attr-defined] # moto does not type it

MAX_SIZE = 405_000  # bytes, as in moto
_SMALL = 100_000  # characters, each of at most four bytes

# The originals, before anything is patched.
SIGN = RequestSigner.handler
_WORDS = ConditionExpressionParser._lex_condition_expression


def is_small(item: dict[str, Any]) -> bool:
    """Return whether an item is far below the size limit, which moto enforces."""
    return sum(map(len, map(str, item.values()))) < _SMALL


def _make_item(item: Any, hash_key: Any, range_key: Any, attrs: dict[str, Any]) -> None:
    """Make an item, and measure it once."""
    item.hash_key, item.range_key = hash_key, range_key
    item.attrs = LimitedSizeDict()
    for name, value in attrs.items():
        dict.__setitem__(item.attrs, name, DynamoType(value))
    if not is_small(attrs) and item.size() > MAX_SIZE:
        raise ItemSizeTooLarge


def _make_value(value: Any, given: Any) -> None:
    """Make a value of an item from its form in JSON, or from another value."""
    if type(given) is DynamoType:
        kind, content = given.type, given.value
    else:
        kind, content = next(iter(given.items()))
    if kind == "L":
        content = [DynamoType(each) for each in content]
    elif kind == "M":
        content = {name: DynamoType(each) for name, each in content.items()}
    value.type, value.value = kind, content


def _words(parser: Any) -> Any:
    """Return the words of a condition."""
    return deque(_words_of(parser.condition_expression))


@cache
def _words_of(expression: str | None) -> tuple[Any, ...]:
    return tuple(_WORDS(ConditionExpressionParser(expression, {}, {})))


class _Updates:
    """Parse an update once. moto's handler only searches the result for names and values."""

    make = staticmethod(cache(UpdateExpressionParser.make))


def _sign(signer: Any, operation_name: Any = None, request: Any = None, **named: Any) -> Any:
    """Sign a request, unless it is for DynamoDB."""
    if signer.signing_name != "dynamodb":
        SIGN(signer, operation_name, request, **named)


REPLACEMENTS: tuple[tuple[Any, str, Any], ...] = (
    (Item, "__init__", _make_item),
    (DynamoType, "__init__", _make_value),
    (ConditionExpressionParser, "_lex_condition_expression", _words),
    (responses, "UpdateExpressionParser", _Updates),
    (RequestSigner, "handler", _sign),
)
"""What is replaced: the owner, the name, and what takes its place."""
