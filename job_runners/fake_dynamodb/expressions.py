"""Compile DynamoDB's expressions to functions, once for each text.

Only the forms that pynamodb and ordinary requests use are compiled. These are top-level attributes
with placeholders, comparisons of text, numbers and bytes, and updates of whole attributes. The keys
of a query may also be named without placeholders. Anything else raises Unsupported, and moto
handles the request.

A placeholder, such as "#0" or ":0", stands for an attribute's name or a value. The request has both
in its Names and Values.
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
"""The attribute names in a request, by their placeholders, such as "#0"."""
Values = dict[str, Value]
"""The values in a request, by their placeholders, such as ":0"."""

Operand = Callable[[Attributes, Names, Values], Value | None]
"""A function that returns a value of the request or of an item's attribute."""
Test = Callable[[Attributes, Names, Values], bool]
"""A function that returns whether a condition holds for an item."""

_TOKEN = re.compile(r"\s*(#\w+|:\w+|[A-Za-z_]+|<=|>=|<>|[=<>(),+-])\s*")
_COMPARISON_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ORDERED_KINDS = ("S", "N", "B")


class Unsupported(Exception):
    """The request is wrong or has a rare form, so moto must handle it."""


class Condition(NamedTuple):
    """A condition of a write, or the filter of a query.

    `names` and `values` are the placeholders that its text uses.
    """

    names: frozenset[str]
    values: frozenset[str]
    holds: Test


class Update(NamedTuple):
    """The attributes that an update sets, removes and adds numbers to.

    All names are placeholders. `names` and `values` are all the placeholders that its text uses.
    """

    names: frozenset[str]
    values: frozenset[str]
    sets: list[tuple[str, Operand]]
    removals: list[str]
    addends: list[tuple[str, str]]  # each with the placeholder of a value

    def apply(self, before: Attributes, names: Names, values: Values) -> Attributes:
        """Return the attributes after the update. Raises Unsupported."""
        after = dict(before)
        for name, operand in self.sets:
            value = operand(before, names, values)
            if value is None:  # the update reads an attribute that the item doesn't have
                raise Unsupported
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
    """The partition that a query selects, and optionally a range of sort keys in it. Names and
    values are placeholders."""

    names: frozenset[str]
    values: frozenset[str]
    hash_name: str  # the key's name or its placeholder
    hash_value: str  # a placeholder
    range_name: str | None
    comparison: str | None  # "=", "<", "<=", ">", ">=", "BETWEEN" or "begins_with"
    bounds: tuple[str, ...]


@cache
def compile_condition(text: str) -> Condition:
    """Compile a condition. Raises Unsupported."""
    parser = _Parser(text)
    holds = parser.condition()
    parser.expect_end()
    return Condition(frozenset(parser.names), frozenset(parser.values), holds)


@cache
def compile_update(text: str) -> Update:
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
def compile_key_condition(text: str) -> KeyCondition:
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
    return KeyCondition(names, values, hash_name, hash_value, range_name, comparison, bounds)


@cache
def parse_projection(text: str) -> tuple[str, ...]:
    """Return the placeholders of a projection. Raises Unsupported."""
    parser = _Parser(text)
    placeholders = tuple(parser.comma_separated(parser.name))
    parser.expect_end()
    return placeholders


class _Parser:
    """Parses one expression by recursive descent.

    Each method parses the part that it is named after. `names` and `values` collect the
    placeholders. All methods raise Unsupported.
    """

    def __init__(self, text: str, *, allows_plain_names: bool = False) -> None:
        if _TOKEN.sub("", text):  # some of the text isn't a token
            raise Unsupported
        self._allows_plain_names = allows_plain_names
        self.tokens = _TOKEN.findall(text)
        self.tokens.reverse()  # so that pop() returns the next token
        self.names: set[str] = set()
        self.values: set[str] = set()

    def take(self) -> str:
        """Remove the next token, and return it."""
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
        """Take this token, which must be the next one."""
        if not self.skip(token):
            raise Unsupported

    def expect_end(self) -> None:
        if self.tokens:
            raise Unsupported

    def comma_separated(self, part: Callable[[], Any]) -> list[Any]:
        parts = [part()]
        while self.skip(","):
            parts.append(part())
        return parts

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
        """Parse an attribute or a value."""
        if self.tokens and self.tokens[-1].startswith("#"):
            name = self.name()
            return lambda item, names, _values: item.get(names[name])
        value = self.value()
        return lambda _item, _names, values: values[value]

    # --- conditions -------------------------------------------------------------------------------

    def condition(self) -> Test:
        tests = [self._and_condition()]
        while self.skip("OR"):
            tests.append(self._and_condition())
        return _any_of(tests)

    def _and_condition(self) -> Test:
        tests = [self._single_condition()]
        while self.skip("AND"):
            tests.append(self._single_condition())
        return _all_of(tests)

    def _single_condition(self) -> Test:
        if self.skip("NOT"):
            return _negate(self._single_condition())
        if self.skip("("):
            test = self.condition()
            self.expect(")")
            return test
        if self.skip("attribute_exists"):
            return self._exists()
        if self.skip("attribute_not_exists"):
            return _negate(self._exists())
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
            case symbol if symbol in _COMPARISON_OPERATORS:
                compare = _COMPARISON_OPERATORS[symbol]
                return _test_of(lambda a, b: _compare(a, b, compare), [left, self.operand()])
        raise Unsupported

    def _exists(self) -> Test:
        self.expect("(")
        name = self.name()
        self.expect(")")
        return lambda item, names, _values: names[name] in item

    def _arguments(self, count: int | None = None) -> list[Operand]:
        self.expect("(")
        operands = self.comma_separated(self.operand)
        self.expect(")")
        if count is not None and len(operands) != count:
            raise Unsupported
        return operands

    # --- updates and queries ----------------------------------------------------------------------

    def assignment(self) -> tuple[str, Operand]:
        name = self.name()
        self.expect("=")
        left = self._assigned_operand()
        if self.skip("+"):
            return name, _sum_of(left, self._assigned_operand(), operator.add)
        if self.skip("-"):
            return name, _sum_of(left, self._assigned_operand(), operator.sub)
        return name, left

    def _assigned_operand(self) -> Operand:
        """Parse a value, an attribute, or an attribute with a default."""
        if not self.skip("if_not_exists"):
            return self.operand()
        self.expect("(")
        name = self.name()
        self.expect(",")
        default = self.operand()
        self.expect(")")
        return lambda item, names, values: item.get(names[name]) or default(item, names, values)

    def range_condition(self) -> tuple[str, str, tuple[str, ...]]:
        has_parenthesis = self.skip("(")
        if self.skip("begins_with"):
            self.expect("(")
            name = self.name()
            self.expect(",")
            comparison = "begins_with"
            bounds = [self.value()]
            self.expect(")")
        else:
            name = self.name()
            comparison = self.take()
            bounds = [self.value()]
            if comparison == "BETWEEN":
                self.expect("AND")
                bounds.append(self.value())
            elif comparison not in ("=", *_COMPARISON_OPERATORS):
                raise Unsupported
        if has_parenthesis:
            self.expect(")")
        return name, comparison, tuple(bounds)


# Below, the `inputs` of a Test or an Operand are its three arguments: an item, names and values.


def _is_reserved(token: str) -> bool:
    """Return whether an attribute with this name needs a placeholder."""
    return not token.isidentifier() or token.upper() in ReservedKeywords.get_reserved_keywords()


def _sum_of(left: Operand, right: Operand, compute: Callable[[Any, Any], Any]) -> Operand:
    return lambda *inputs: _sum(left(*inputs), right(*inputs), compute)


def _negate(test: Test) -> Test:
    return lambda *inputs: not test(*inputs)


def _any_of(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    return lambda *inputs: any(test(*inputs) for test in tests)


def _all_of(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    return lambda *inputs: all(test(*inputs) for test in tests)


def _test_of(compare: Callable[..., bool], operands: list[Operand]) -> Test:
    """Return a test that computes the operands, and passes their values to `compare`."""
    return lambda *inputs: compare(*(operand(*inputs) for operand in operands))


def _kinds_and_contents(left: Value, right: Value) -> tuple[str, Any, str, Any]:
    # A value is a dict with one entry, such as {"S": "text"}.
    ((left_kind, left_content),) = left.items()
    ((right_kind, right_content),) = right.items()
    return left_kind, left_content, right_kind, right_content


def _equal(left: Value | None, right: Value | None) -> bool:
    if left is None or right is None:
        present = left or right
        if present is None or "NULL" in present:
            raise Unsupported  # moto decides, because it treats a missing attribute as null
        return False
    kind, content, other_kind, other = _kinds_and_contents(left, right)
    # Text, bytes and booleans are equal if their contents are. Numbers may be written differently.
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
    kind, content, other_kind, other = _kinds_and_contents(left, right)
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
    kind, content, other_kind, other = _kinds_and_contents(value, prefix)
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
