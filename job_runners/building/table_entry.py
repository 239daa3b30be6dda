"""Add an entry to the table JOBS of a Python file, and leave everything else unchanged."""

import ast
import re

_INDENT = "    "


def with_entry(source: str, entry: str) -> str | None:
    """Return the source with the line `entry` added at the beginning of its table JOBS.

    Return None if that isn't safe, because JOBS isn't one literal dictionary or the file doesn't
    import the names in the entry.
    """
    statements = list(re.finditer(r"^JOBS\b[^=\n]*=\s*", source, re.MULTILINE))
    if len(statements) != 1 or not set(re.findall(r"\b[A-Z]\w+(?=\()", entry)) <= _imported(source):
        return None
    start = statements[0].end() + 1
    before, rest = source[:start], source[start:]
    line, line_break, below = rest.partition("\n")
    if line_break and not line.partition("#")[0].strip():
        changed = f"{before}{line}\n{_INDENT}{entry}\n{below}"
    else:
        indent = "" if rest.startswith("}") else _INDENT
        changed = f"{before}\n{_INDENT}{entry}\n{indent}{rest}"
    return changed if len(_keys(changed)) == len(_keys(source)) + 1 else None


def entries(source: str) -> set[str]:
    """Return the names in the table that are string literals."""
    return {str(key.value) for key in _keys(source) if isinstance(key, ast.Constant)}


def _keys(source: str) -> list[ast.expr | None]:
    return [
        key
        for each in _statements(source)
        if isinstance(each, ast.Assign | ast.AnnAssign) and isinstance(each.value, ast.Dict)
        if ast.unparse(each).startswith("JOBS")
        for key in each.value.keys
    ]


def _imported(source: str) -> set[str]:
    imports = [each for each in _statements(source) if isinstance(each, ast.ImportFrom)]
    return {alias.asname or alias.name for each in imports for alias in each.names}


def _statements(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except SyntaxError:
        return []
