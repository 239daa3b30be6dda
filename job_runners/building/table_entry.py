"""Add an entry to the table JOBS of a Python file, and leave everything else unchanged."""

import ast
import tokenize
from io import BytesIO

_INDENT = "    "


def with_entry(source: str, entry: str) -> str | None:
    """Return the source with the line `entry` added at the end of its table JOBS.

    Return None if that isn't safe, because JOBS isn't one literal dictionary or the file doesn't
    import the names in the entry.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    tables = [each for each in tree.body if _is_table(each)]
    if len(tables) != 1 or not _names_in(entry) <= _imported(tree):
        return None
    table = _dictionary(tables[0])
    if table is None:
        return None
    changed = _insert(source, table, entry)
    return changed if _only_adds(tree, changed) else None


def entries(source: str) -> set[str]:
    """Return the names in the table that are string literals."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return set()
    tables = [table for each in tree.body if _is_table(each) and (table := _dictionary(each))]
    keys = [key for table in tables for key in table.keys if isinstance(key, ast.Constant)]
    return {key.value for key in keys if isinstance(key.value, str)}


def _is_table(statement: ast.stmt) -> bool:
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    if isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    return any(isinstance(each, ast.Name) and each.id == "JOBS" for each in targets)


def _dictionary(statement: ast.stmt) -> ast.Dict | None:
    if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Dict):
        return statement.value
    return None


def _names_in(entry: str) -> set[str]:
    return {each.id for each in ast.walk(ast.parse(f"{{{entry}}}")) if isinstance(each, ast.Name)}


def _imported(tree: ast.Module) -> set[str]:
    imports = [each for each in tree.body if isinstance(each, ast.ImportFrom)]
    return {alias.asname or alias.name for each in imports for alias in each.names}


def _insert(source: str, table: ast.Dict, entry: str) -> str:
    """Put the entry before the brace that closes the table."""
    encoded = source.encode()
    end = _offset(encoded, table.end_lineno or 0, (table.end_col_offset or 0) - 1)
    before, after = encoded[:end], encoded[end:]
    if table.values:
        last = table.values[-1]
        value_end = _offset(encoded, last.end_lineno or 0, last.end_col_offset or 0)
        if not _has_comma(encoded[value_end:end]):
            before = before[:value_end] + b"," + before[value_end:]
    # Put the entry just before the brace: below any comment, after anything else on that line.
    beginning = before.rstrip(b" \t")
    line_break = b"" if beginning.endswith(b"\n") else b"\n"
    return (beginning + line_break + f"{_INDENT}{entry}\n".encode() + after).decode()


def _offset(encoded: bytes, line: int, column: int) -> int:
    return sum(len(each) for each in encoded.splitlines(keepends=True)[: line - 1]) + column


def _has_comma(text: bytes) -> bool:
    """Return whether the rest of a table has a comma outside comments."""
    # The tokenizer reads across line breaks only inside brackets, so add an opening one.
    tokens = tokenize.tokenize(BytesIO(b"(" + text + b"\n)").readline)
    return any(each.type == tokenize.OP and each.string == "," for each in tokens)


def _only_adds(tree: ast.Module, changed: str) -> bool:
    """Return whether the changed source differs from the original by one added entry only."""
    try:
        after = ast.parse(changed)
    except SyntaxError:
        return False
    (table,) = [found for each in after.body if _is_table(each) and (found := _dictionary(each))]
    del table.keys[-1], table.values[-1]
    return ast.dump(after) == ast.dump(tree)
