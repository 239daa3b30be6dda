"""Rewrite Python code for version 0.2, whose modules were not in the package job_runners."""

import ast
import re
from functools import cache
from pathlib import Path

from job_runners.places import CODE

_PACKAGE = "job_runners"
# The top-level modules of version 0.2, and where they are now.
_TOPS = {
    **{name: f"{_PACKAGE}.{name}" for name in ("api", "aws", "clock", "dashboard", "errors")},
    **{name: f"{_PACKAGE}.{name}" for name in ("handlers", "local", "names", "runners")},
    **{name: f"{_PACKAGE}.{name}" for name in ("settings", "store", "testing", "work")},
    **{name: f"{_PACKAGE}.shipped.{name}" for name in ("campaigns", "jobs", "tasks", "webhooks")},
    "frozen_values": f"{_PACKAGE}.values",
}
MOVED = frozenset(_TOPS)
# The modules of the client, which were directly in job_runners.
_CLIENT = frozenset(
    {
        *("addresses", "base_client", "calls", "client", "connections", "credentials", "errors"),
        *("http_api", "models", "queue_client", "queue_models", "refusals", "repeating"),
        *("schedule_client", "schedule_models", "signing", "stack_outputs", "task_client"),
        *("uploads",),
    }
)
_DOTTED = re.compile(r"[a-z_]\w*(\.\w+)+")


def renamed(name: str, *, moved_far: bool = False) -> str | None:
    """Return the present name of a module of 0.2, or of something in it. None if there is none.

    `moved_far` also finds a module that is in another package now.
    """
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        module = _module(parts[:count], moved_far=moved_far)
        if module is not None:
            rest = parts[count:]
            return ".".join([module, *rest]) if not rest or defines(module, rest[0]) else None
    return None


def _module(parts: list[str], *, moved_far: bool) -> str | None:
    top, *rest = parts
    if top == _PACKAGE:
        is_client = bool(rest) and rest[0] in _CLIENT
        return ".".join([_PACKAGE, "client", *rest]) if is_client else None
    if top not in _TOPS:
        return None
    name = ".".join([_TOPS[top], *rest])
    if _file(name) is not None:
        return name
    found = list((CODE / _PACKAGE).rglob(f"{rest[-1]}.py")) if moved_far and rest else []
    if len(found) != 1:
        return None
    return ".".join(found[0].relative_to(CODE).with_suffix("").parts)


def _file(module: str) -> Path | None:
    path = CODE / Path(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


@cache
def defines(module: str, name: str) -> bool:
    """Return whether a module of ours has a submodule or a global name of this name."""
    if _file(f"{module}.{name}") is not None:
        return True
    file = _file(module)
    if file is None:
        return False
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef(name=found) | ast.ClassDef(name=found):
                pass
            case ast.Name(id=found, ctx=ast.Store()) | ast.Constant(value=str(found)):
                pass
            case ast.ImportFrom(names=names) | ast.Import(names=names):
                found = name if name in {each.asname or each.name for each in names} else ""
            case _:
                continue
        if found == name:
            return True
    return False


class Rewritten:
    """Code for 0.2 with the present names. `to_change` are (line, text) of what to change by hand.

    Raises SyntaxError if the code isn't Python.
    """

    def __init__(self, source: str) -> None:
        """Rewrite this code."""
        self.to_change: list[tuple[int, str]] = []
        self._source = source
        self._edits: list[tuple[int, int, str]] = []
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._lines = source.splitlines(keepends=True)
        tree = ast.parse(source)
        by_dots = self._rewrite_imports(tree)
        self._rewrite_uses(tree, by_dots)
        self.text = source
        for start, end, new in sorted(self._edits, reverse=True):
            self.text = self.text[:start] + new + self.text[end:]

    def _rewrite_imports(self, tree: ast.AST) -> set[str]:
        """Rewrite imports, and return the names that an `import a.b` binds."""
        by_dots: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and _is_old(node.module):
                if node.level == 0:
                    self._replace(node, self._from_import(node, node.module))
            elif isinstance(node, ast.Import) and any(_is_old(each.name) for each in node.names):
                by_dots |= {
                    each.name.partition(".")[0]
                    for each in node.names
                    if "." in each.name and not each.asname
                } & MOVED
                self._replace(node, [self._import(node, each) for each in node.names])
        return by_dots

    def _from_import(self, node: ast.ImportFrom, module: str) -> list[str]:
        groups: dict[str, list[str]] = {}
        for each in node.names:
            parent, name = module, each.name
            if name == "*":
                parent = renamed(module) or module
            else:
                new = renamed(f"{module}.{name}") or renamed(f"{module}.{name}", moved_far=True)
                if new is None:
                    self.to_change.append((node.lineno, f"{module}.{name} doesn't exist anymore"))
                    new = f"{renamed(module, moved_far=True) or module}.{name}"
                parent, _, name = new.rpartition(".")
            bound = each.asname or each.name
            groups.setdefault(parent, []).append(name if name == bound else f"{name} as {bound}")
        before = [each.name + (f" as {each.asname}" if each.asname else "") for each in node.names]
        if list(groups.values()) == [before]:  # keep the layout and the comments
            old = self._source[slice(*self._span(node))]
            return [old.replace(module, next(iter(groups)), 1)]
        return [f"from {parent} import {', '.join(names)}" for parent, names in groups.items()]

    def _import(self, node: ast.Import, alias: ast.alias) -> str:
        as_words = f" as {alias.asname}" if alias.asname else ""
        if not _is_old(alias.name) or alias.name == _PACKAGE:
            return f"import {alias.name}{as_words}"
        new = renamed(alias.name)
        if new is None:
            self.to_change.append((node.lineno, f"{alias.name} doesn't exist anymore"))
            return f"import {alias.name}{as_words}"
        if "." in alias.name and not alias.asname:
            return f"import {new}"
        parent, _, name = new.rpartition(".")
        bound = alias.asname or alias.name
        return f"from {parent} import {name if name == bound else f'{name} as {bound}'}"

    def _rewrite_uses(self, tree: ast.AST, by_dots: set[str]) -> None:
        """Rewrite names that an `import a.b` binds, and strings that are a dotted name."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in by_dots:
                self._replace(node, [_TOPS[node.id]])
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                new = renamed(node.value) if _DOTTED.fullmatch(node.value) else None
                text = self._source[slice(*self._span(node))]
                if new is not None and node.value in text:
                    self._replace(node, [text.replace(node.value, new)])

    def _replace(self, node: ast.stmt | ast.expr, statements: list[str]) -> None:
        start, end = self._span(node)
        old = self._source[start:end]
        before = self._lines[node.lineno - 1][: start - self._starts[node.lineno - 1]]
        between = "; " if before.strip() else f"\n{before}"
        new = between.join(statements)
        if old != new:
            self._edits.append((start, end, new))

    def _span(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        return (
            self._offset(node.lineno, node.col_offset),
            self._offset(node.end_lineno or node.lineno, node.end_col_offset or 0),
        )

    def _offset(self, line: int, column: int) -> int:
        """Return the offset in the text of a place that ast gives as a line and bytes in it."""
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:column].decode())


def _is_old(module: str) -> bool:
    top, _, rest = module.partition(".")
    return top in MOVED or (top == _PACKAGE and rest.partition(".")[0] in _CLIENT)
