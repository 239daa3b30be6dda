"""Compile DynamoDB's expressions to functions, once for each text.

Only the forms that pynamodb and ordinary requests use are compiled: top-level attributes with
placeholders, comparisons of text, numbers and bytes, and updates of whole attributes. The keys of a
query may also be named without placeholders. Anything else raises Unsupported, and moto handles the
request.
"""

import operator
import re
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

Value = dict[str, Any]
"""A value in DynamoDB's own form, such as {"S": "text"}. Bytes are bytes, not base64."""
Attributes = dict[str, Value]
"""An item: the names of its attributes and their values."""
Names = dict[str, str]
"""What the placeholders of a request stand for: "#0" for the name of an attribute."""
Values = dict[str, Value]
"""What the placeholders of a request stand for: ":0" for a value."""

Operand = Callable[[Attributes, Names, Values], Value | None]
Test = Callable[[Attributes, Names, Values], bool]

_TOKENS = re.compile(r"\s*(#\w+|:\w+|[A-Za-z_]+|<=|>=|<>|[=<>(),+-])\s*")
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ORDERED_KINDS = ("S", "N", "B")


class Unsupported(Exception):
    """The request is wrong or has a rare form, so moto must handle it."""


class Condition(NamedTuple):
    """A condition, a filter or a key condition."""

    names: frozenset[str]
    values: frozenset[str]
    holds: Test


class Update(NamedTuple):
    """An update: the attributes that it sets, removes and adds to, by placeholder."""

    names: frozenset[str]
    values: frozenset[str]
    sets: list[tuple[str, Operand]]
    removals: list[str]
    addends: list[tuple[str, str]]

    def apply(self, before: Attributes, names: Names, values: Values) -> Attributes:
        """Return the attributes after the update. Raises Unsupported."""
        after = dict(before)
        for name, operand in self.sets:
            value = operand(before, names, values)
            if value is None:
                raise Unsupported  # the attribute that the value is taken from doesn't exist
            after[names[name]] = value
        for name in self.removals:
            after.pop(names[name], None)
        for name, addend in self.addends:
            stored = before.get(names[name], {"N": "0"})
            after[names[name]] = _sum(stored, values[addend], operator.add)
        return after

    def targets(self, names: Names) -> list[str]:
        """Return the names of the attributes that the update changes."""
        placeholders = [*(name for name, _ in self.sets), *self.removals]
        placeholders += [name for name, _ in self.addends]
        return [names[placeholder] for placeholder in placeholders]


class KeyCondition(NamedTuple):
    """What a query selects: a partition, and perhaps a range of its sort keys."""

    names: frozenset[str]
    values: frozenset[str]
    hash_key: tuple[str, str]  # the key's name or its placeholder, and the placeholder of its value
    range_key: str | None
    comparison: str | None  # "=", "<", "<=", ">", ">=", "BETWEEN" or "begins_with"
    bounds: tuple[str, ...]


@cache
def condition_of(text: str) -> Condition:
    """Compile a condition. Raises Unsupported."""
    parser = _Parser(text)
    holds = parser.alternatives()
    parser.expect_end()
    return Condition(frozenset(parser.names), frozenset(parser.values), holds)


@cache
def update_of(text: str) -> Update:
    """Compile an update. Raises Unsupported."""
    parser = _Parser(text)
    sets: list[tuple[str, Operand]] = []
    removals: list[str] = []
    addends: list[tuple[str, str]] = []
    while parser.tokens:
        match parser.take():
            case "SET":
                sets += parser.comma_separated(parser.assignment)
            case "REMOVE":
                removals += parser.comma_separated(parser.name)
            case "ADD":
                addends += parser.comma_separated(lambda: (parser.name(), parser.value()))
            case _:
                raise Unsupported
    return Update(frozenset(parser.names), frozenset(parser.values), sets, removals, addends)


@cache
def key_condition_of(text: str) -> KeyCondition:
    """Compile the key condition of a query. Raises Unsupported."""
    parser = _Parser(text, allows_plain_names=True)
    has_parenthesis = parser.skip("(")
    hash_name = parser.name()
    parser.expect("=")
    hash_value = parser.value()
    range_name: str | None = None
    comparison: str | None = None
    bounds: tuple[str, ...] = ()
    if parser.skip("AND"):
        range_name, comparison, bounds = parser.range_condition()
    if has_parenthesis:
        parser.expect(")")
    parser.expect_end()
    names, values = frozenset(parser.names), frozenset(parser.values)
    hash_key = hash_name, hash_value
    return KeyCondition(names, values, hash_key, range_name, comparison, bounds)


@cache
def projection_of(text: str) -> tuple[str, ...]:
    """Return the placeholders of a projection. Raises Unsupported."""
    parser = _Parser(text)
    found = tuple(parser.comma_separated(parser.name))
    parser.expect_end()
    return found


class _Parser:
    """Parses one expression by recursive descent."""

    def __init__(self, text: str, *, allows_plain_names: bool = False) -> None:
        self._allows_plain_names = allows_plain_names
        self.tokens = _TOKENS.findall(text)
        self.tokens.reverse()  # so that pop() returns the next token
        self.names: set[str] = set()
        self.values: set[str] = set()
        if _TOKENS.sub("", text):
            raise Unsupported

    def take(self) -> str:
        if not self.tokens:
            raise Unsupported
        token: str = self.tokens.pop()
        return token

    def skip(self, token: str) -> bool:
        """Take this token if it is the next one. Return whether it was."""
        if not self.tokens or self.tokens[-1] != token:
            return False
        self.tokens.pop()
        return True

    def expect(self, token: str) -> None:
        if not self.skip(token):
            raise Unsupported

    def expect_end(self) -> None:
        if self.tokens:
            raise Unsupported

    def comma_separated(self, part: Callable[[], Any]) -> list[Any]:
        """Parse parts that are separated by commas."""
        found = [part()]
        while self.skip(","):
            found.append(part())
        return found

    def name(self) -> str:
        token = self.take()
        if token.startswith("#"):
            self.names.add(token)
        elif not self._allows_plain_names or _is_reserved(token):
            raise Unsupported
        return token

    def value(self) -> str:
        token = self.take()
        if not token.startswith(":"):
            raise Unsupported
        self.values.add(token)
        return token

    def operand(self) -> Operand:
        if self.tokens and self.tokens[-1].startswith("#"):
            name = self.name()
            return lambda item, names, _values: item.get(names[name])
        value = self.value()
        return lambda _item, _names, values: values[value]

    # --- conditions -------------------------------------------------------------------------------

    def alternatives(self) -> Test:
        tests = [self._all()]
        while self.skip("OR"):
            tests.append(self._all())
        return _either(tests)

    def _all(self) -> Test:
        tests = [self._single()]
        while self.skip("AND"):
            tests.append(self._single())
        return _both(tests)

    def _single(self) -> Test:
        if self.skip("NOT"):
            test = self._single()
            return lambda *given: not test(*given)
        if self.skip("("):
            test = self.alternatives()
            self.expect(")")
            return test
        if self.skip("attribute_exists"):
            return self._exists()
        if self.skip("attribute_not_exists"):
            exists = self._exists()
            return lambda *given: not exists(*given)
        if self.skip("begins_with"):
            return _test_of(_begins_with, self._arguments(2))
        return self._comparison()

    def _comparison(self) -> Test:
        left = self.operand()
        match self.take():
            case "=":
                return _test_of(_equal, [left, self.operand()])
            case "<>":
                return _test_of(lambda a, b: not _equal(a, b), [left, self.operand()])
            case "BETWEEN":
                low = self.operand()
                self.expect("AND")
                return _test_of(_between, [left, low, self.operand()])
            case "IN":
                return _test_of(_is_in, [left, *self._arguments()])
            case symbol if symbol in _COMPARISONS:
                compare = _COMPARISONS[symbol]
                return _test_of(lambda a, b: _compare(a, b, compare), [left, self.operand()])
        raise Unsupported

    def _exists(self) -> Test:
        self.expect("(")
        name = self.name()
        self.expect(")")
        return lambda item, names, _values: names[name] in item

    def _arguments(self, count: int | None = None) -> list[Operand]:
        self.expect("(")
        found = self.comma_separated(self.operand)
        self.expect(")")
        if count not in (None, len(found)):
            raise Unsupported
        return found

    # --- updates and queries ----------------------------------------------------------------------

    def assignment(self) -> tuple[str, Operand]:
        name = self.name()
        self.expect("=")
        left = self._source()
        if self.skip("+"):
            return name, _sum_of(left, self._source(), operator.add)
        if self.skip("-"):
            return name, _sum_of(left, self._source(), operator.sub)
        return name, left

    def _source(self) -> Operand:
        """Parse a value, an attribute, or an attribute with a default."""
        if not self.skip("if_not_exists"):
            return self.operand()
        self.expect("(")
        name = self.name()
        self.expect(",")
        default = self.operand()
        self.expect(")")
        return lambda item, names, values: (
            item[names[name]] if names[name] in item else default(item, names, values)
        )

    def range_condition(self) -> tuple[str, str, tuple[str, ...]]:
        has_parenthesis = self.skip("(")
        if self.skip("begins_with"):
            self.expect("(")
            name = self.name()
            self.expect(",")
            comparison, bounds = "begins_with", [self.value()]
            self.expect(")")
        else:
            name, comparison = self.name(), self.take()
            bounds = [self.value()]
            if comparison == "BETWEEN":
                self.expect("AND")
                bounds.append(self.value())
            elif comparison not in ("=", *_COMPARISONS):
                raise Unsupported
        if has_parenthesis:
            self.expect(")")
        return name, comparison, tuple(bounds)


def _is_reserved(token: str) -> bool:
    """Return whether a token can't be the plain name of an attribute."""
    return not token.isidentifier() or token.upper() in ReservedKeywords.get_reserved_keywords()


def _sum_of(left: Operand, right: Operand, compute: Callable[[Any, Any], Any]) -> Operand:
    return lambda *given: _sum(left(*given), right(*given), compute)


def _either(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    return lambda *given: any(test(*given) for test in tests)


def _both(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    return lambda *given: all(test(*given) for test in tests)


def _test_of(compare: Callable[..., bool], operands: list[Operand]) -> Test:
    return lambda *given: compare(*(operand(*given) for operand in operands))


def _split(left: Value, right: Value) -> tuple[str, Any, str, Any]:
    """Return the types and the contents of two values."""
    ((left_kind, left_content),) = left.items()
    ((right_kind, right_content),) = right.items()
    return left_kind, left_content, right_kind, right_content


def _equal(left: Value | None, right: Value | None) -> bool:
    if left is None or right is None:
        present = left or right
        if present is None or "NULL" in present:
            raise Unsupported  # moto treats a missing attribute as a null
        return False
    kind, content, other_kind, other = _split(left, right)
    if kind == other_kind and kind in ("S", "B", "BOOL"):
        return bool(content == other)
    if kind not in _ORDERED_KINDS or other_kind not in _ORDERED_KINDS:
        raise Unsupported
    if kind != other_kind:
        return False
    return content == other or Decimal(content) == Decimal(other)


def _compare(left: Value | None, right: Value | None, compare: Callable[[Any, Any], bool]) -> bool:
    if left is None or right is None:
        return False
    kind, content, other_kind, other = _split(left, right)
    if kind != other_kind or kind not in _ORDERED_KINDS:
        raise Unsupported
    if kind == "N":
        return compare(Decimal(content), Decimal(other))
    return compare(content, other)


def _between(value: Value | None, low: Value | None, high: Value | None) -> bool:
    if low is None or high is None:
        raise Unsupported
    return _compare(low, value, operator.le) and _compare(value, high, operator.le)


def _is_in(value: Value | None, *others: Value | None) -> bool:
    return any(_equal(value, other) for other in others)


def _begins_with(value: Value | None, prefix: Value | None) -> bool:
    if value is None or prefix is None:
        return False
    kind, content, other_kind, other = _split(value, prefix)
    if kind != "S" or other_kind != "S":
        raise Unsupported
    return bool(content.startswith(other))


def _sum(left: Value | None, right: Value | None, compute: Callable[[Any, Any], Any]) -> Value:
    if left is None or right is None or "N" not in left or "N" not in right:
        raise Unsupported
    try:
        return {"N": str(compute(int(left["N"]), int(right["N"])))}
    except ValueError:
        raise Unsupported from None
