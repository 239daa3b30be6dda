"""Generate mutations from the code.

Each leaves out a condition, a part of one, the consistency of a read, or a consequence of a job's
end, or changes when something expires or has begun. One lets a write whose answer is lost fail.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tools.mutants.mutation import Mutation

# The operators between the parts of a condition: Python's own, and pynamodb's.
_JOINED = {ast.And: "and", ast.Or: "or", ast.BitAnd: "&", ast.BitOr: "|"}
# Arguments that make a read consistent.
_CONSISTENT = ("consistent_read", "consistent", "fresh")
# What must follow the end of a job, or its admission.
_CONSEQUENCES = (
    *("settle", "settle_change", "settle_unknown", "admit_waiting", "send_or_leave_due"),
    *("record_member_end", "check_new_wait", "note", "_send_saved", "_settle_line"),
)
_NEVER = "None"
_SOONER = "80 * 86_400"  # seconds: shorter than any lifetime
_LATER = "86_400_000"  # milliseconds

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def generate(root: Path, file: str) -> list[Mutation]:
    """Return every mutation of a file. Each has a unique name."""
    source = (root / file).read_text()
    return list(_Generator(file, source).mutations())


class _Generator:
    def __init__(self, file: str, source: str) -> None:
        self._file = file
        self._lines = source.splitlines(keepends=True)
        self._tree = ast.parse(source)
        self._names: Counter[str] = Counter()

    def mutations(self) -> Iterator[Mutation]:
        for function, node in _functions(self._tree, ""):
            for statement in node.body:
                yield from self._mutations_within(function, statement)

    def _mutations_within(self, function: str, node: ast.AST) -> Iterator[Mutation]:
        if isinstance(node, _Function | ast.ClassDef):  # `_functions` yields it separately
            return
        yield from self._mutations_of(function, node)
        for child in _children(node):
            yield from self._mutations_within(function, child)

    def _mutations_of(self, function: str, node: ast.AST) -> Iterator[Mutation]:
        match node:
            case ast.If(test=test) | ast.IfExp(test=test):
                yield from self._mutations_to_constant(function, [test])
            case ast.While(test=test):  # most loops would not end if it was always true
                yield from self._mutations_to_constant(function, [test], values=(False,))
            case ast.comprehension(ifs=tests):
                yield from self._mutations_to_constant(function, tests)
            case ast.match_case(guard=ast.expr() as test):
                yield from self._mutations_to_constant(function, [test])
            case ast.Lambda(body=ast.Compare() | ast.Constant(value=bool()) as test):
                yield from self._mutations_to_constant(function, [test])
            case ast.Return(value=ast.Compare() | ast.UnaryOp(op=ast.Not()) as test):
                yield from self._mutations_to_constant(function, [test])
            case ast.ExceptHandler(type=ast.Name() | ast.Attribute() as kind):
                yield self._mutation(function, kind, "()", f"no except {ast.unparse(kind)}")
            case ast.keyword() | ast.Expr() | ast.Call(func=ast.Attribute(attr="set")):
                yield from self._mutations_of_writes(function, node)
            case _:
                yield from self._mutations_of_parts(function, node)

    def _mutations_of_writes(self, function: str, node: ast.AST) -> Iterator[Mutation]:
        match node:
            case ast.keyword(arg=str(name), value=value):
                yield from self._mutations_of_argument(function, name, value)
            case ast.Expr(
                value=ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) as call
            ):
                if name in _CONSEQUENCES:
                    yield self._mutation(function, call, "None", f"no `{ast.unparse(call)}`")
            case ast.Call(
                func=ast.Attribute(attr="set", value=ast.Attribute(attr="expires_at")), args=[time]
            ):
                yield from self._mutations_of_argument(function, "expires_at", time)

    def _mutations_of_argument(
        self, function: str, name: str, value: ast.expr
    ) -> Iterator[Mutation]:
        """Yield the mutations of an argument: a stale read, a write whose answer is lost, or a time
        that is off by days."""
        if name in _CONSISTENT and isinstance(value, ast.Constant) and value.value is True:
            yield self._mutation(function, value, "False", f"{name}=False")
        if name == "already_applied" and ast.unparse(value) != _NEVER:
            yield self._mutation(function, value, _NEVER, f"{name}: {_NEVER}")
        if name == "expires_at":
            text = f"({_text(value)}) - {_SOONER}"
            yield self._mutation(function, value, text, f"expires sooner: `{ast.unparse(value)}`")
        if name == "since":
            text = f"({_text(value)}) + {_LATER}"
            yield self._mutation(function, value, text, f"since later: `{ast.unparse(value)}`")

    def _mutations_of_parts(self, function: str, node: ast.AST) -> Iterator[Mutation]:
        match node:
            case ast.BoolOp(op=op, values=parts):
                yield from self._mutations_without_each(function, node, parts, _JOINED[type(op)])
            case ast.BinOp(op=ast.BitAnd() | ast.BitOr() as op):
                parts = _flat(node, type(op))
                yield from self._mutations_without_each(function, node, parts, _JOINED[type(op)])
            case ast.Call(func=ast.Attribute(attr="is_in"), args=[_, _, *_] as parts):
                yield from self._mutations_without_each(function, node, parts, ",")
            case ast.Compare(ops=[ast.In()], comparators=[ast.Tuple(elts=parts) as several]):
                yield from self._mutations_without_each(function, several, parts, ",")
            case ast.ExceptHandler(type=ast.Tuple(elts=parts) as several):
                yield from self._mutations_without_each(function, several, parts, ",")

    def _mutations_without_each(
        self, function: str, node: ast.AST, parts: list[ast.expr], joined: str
    ) -> Iterator[Mutation]:
        for part in parts:
            rest = [_text(each) for each in parts if each is not part]
            what = f"without `{joined} {ast.unparse(part)}`"
            if isinstance(node, ast.Call):
                text = f"{ast.unparse(node.func)}({', '.join(rest)})"
            elif joined == ",":
                text = f"({', '.join(rest)},)"
            else:
                text = f"({f' {joined} '.join(rest)})"
            yield self._mutation(function, node, text, what)

    def _mutations_to_constant(
        self, function: str, tests: list[ast.expr], values: tuple[bool, ...] = (True, False)
    ) -> Iterator[Mutation]:
        """Yield the mutations that make a condition always true or always false.

        A condition with several parts is skipped, because each part is mutated by itself.
        """
        for test in tests:
            if isinstance(test, ast.BoolOp | ast.NamedExpr):
                continue
            for value in values:
                if not (isinstance(test, ast.Constant) and test.value is value):
                    what = f"{value} for `{ast.unparse(test)}`"
                    yield self._mutation(function, test, str(value), what)

    def _mutation(self, function: str, node: ast.AST, text: str, what: str) -> Mutation:
        assert isinstance(node, ast.expr)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        lines = self._lines
        first, last = lines[node.lineno - 1], lines[node.end_lineno - 1]
        before = "".join(lines[: node.lineno - 1]) + _cut(first, 0, node.col_offset)
        after = _cut(last, node.end_col_offset, None) + "".join(lines[node.end_lineno :])
        self._names[f"{function} {what}"] += 1
        if (number := self._names[f"{function} {what}"]) > 1:
            what = f"{what} (number {number})"
        return Mutation(
            self._file, function, what, before + text + after, (node.lineno, node.end_lineno)
        )


def _functions(node: ast.AST, inside: str) -> Iterator[tuple[str, _Function]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _Function | ast.ClassDef):
            name = f"{inside}.{child.name}".lstrip(".")
            if isinstance(child, _Function):
                yield name, child
            yield from _functions(child, name)
        else:
            yield from _functions(child, inside)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node's parts except its type annotations, which have no conditions."""
    match node:
        case ast.AnnAssign(value=value):
            if value:
                yield value
            return
        case ast.Call(func=ast.Name(id="cast"), args=[_, value]):
            yield value
            return
    for child in ast.iter_child_nodes(node):
        # The rest of a chain was handled together with the whole chain.
        if isinstance(node, ast.BinOp) and _continues(node, child):
            yield from _children(child)
        else:
            yield child


def _continues(node: ast.BinOp, child: ast.AST) -> bool:
    return (
        child is node.left
        and isinstance(child, ast.BinOp)
        and type(child.op) is type(node.op)
        and isinstance(node.op, ast.BitAnd | ast.BitOr)
    )


def _flat(node: ast.expr, op: type[ast.operator]) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, op):
        return [*_flat(node.left, op), node.right]
    return [node]


def _text(part: ast.expr) -> str:
    text = ast.unparse(part)
    return text if isinstance(part, ast.Starred) else f"({text})"


def _cut(line: str, start: int, end: int | None) -> str:
    """Return part of a line, by columns in bytes, as ast counts them."""
    return line.encode()[start:end].decode()
