"""Add an entry to the table JOBS of a Python file, and leave everything else unchanged."""

import ast

_INDENT = "    "


def with_entry(source: str, entry: str) -> str | None:
    """Return the source with the line `entry` added at the beginning of its table JOBS.

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
    """Put the entry behind the brace that opens the table, where no comma can be missing."""
    encoded = source.encode()
    above = encoded.splitlines(keepends=True)[: table.lineno - 1]
    start = sum(map(len, above)) + table.col_offset + 1
    rest = encoded[start:].decode()
    before, (line, line_break, below) = encoded[:start].decode(), rest.partition("\n")
    if line_break and not line.partition("#")[0].strip():
        return f"{before}{line}\n{_INDENT}{entry}\n{below}"
    return f"{before}\n{_INDENT}{entry}\n{_INDENT * bool(table.values)}{rest}"


def _only_adds(tree: ast.Module, changed: str) -> bool:
    """Return whether the changed source differs from the original by one added entry only."""
    try:
        after = ast.parse(changed)
    except SyntaxError:
        return False
    (table,) = [found for each in after.body if _is_table(each) and (found := _dictionary(each))]
    del table.keys[0], table.values[0]
    return ast.dump(after) == ast.dump(tree)
