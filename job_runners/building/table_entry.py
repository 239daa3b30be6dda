"""Add an entry to the dictionary JOBS in a Python file, and leave everything else unchanged."""

import ast
import re

_INDENT = "    "


def add_entry(source: str, entry: str) -> str | None:
    """Return the source with the line `entry` as the first entry of JOBS.

    Return None if that isn't safe, because JOBS isn't one literal dictionary or the file doesn't
    import the classes in the entry.
    """
    statements = list(re.finditer(r"^JOBS\b[^=\n]*=\s*", source, re.MULTILINE))
    classes = set(re.findall(r"\b[A-Z]\w+(?=\()", entry))
    if len(statements) != 1 or not classes <= _imported_names(source):
        return None
    after_brace = statements[0].end() + 1
    before, after = source[:after_brace], source[after_brace:]
    rest_of_line, line_break, below = after.partition("\n")
    code, _, _comment = rest_of_line.partition("#")
    if line_break and not code.strip():
        changed = f"{before}{rest_of_line}\n{_INDENT}{entry}\n{below}"
    else:
        indent = "" if after.startswith("}") else _INDENT
        changed = f"{before}\n{_INDENT}{entry}\n{indent}{after}"
    # If the new source is wrong in any way, it has no additional key.
    return changed if len(_keys(changed)) == len(_keys(source)) + 1 else None


def literal_keys(source: str) -> set[str]:
    """Return the keys of JOBS that are literals."""
    return {str(key.value) for key in _keys(source) if isinstance(key, ast.Constant)}


def _keys(source: str) -> list[ast.expr | None]:
    keys: list[ast.expr | None] = []
    for statement in _statements(source):
        if not isinstance(statement, ast.Assign | ast.AnnAssign):
            continue
        if isinstance(statement.value, ast.Dict) and ast.unparse(statement).startswith("JOBS"):
            keys += statement.value.keys
    return keys


def _imported_names(source: str) -> set[str]:
    names: set[str] = set()
    for statement in _statements(source):
        if isinstance(statement, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in statement.names}
    return names


def _statements(source: str) -> list[ast.stmt]:
    try:
        return ast.parse(source).body
    except SyntaxError:
        return []
