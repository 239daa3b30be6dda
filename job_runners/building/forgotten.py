"""Find packages that the app's code imports, and that are installed here but pinned in no lock.

Such code works here but fails in the functions, which get only the pinned packages.
"""

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

from packaging.utils import canonicalize_name

from job_runners.building.app_folder import AppFolder, UnusableAppFolder, our_names
from job_runners.building.app_requirements import OUR_LOCK, project_pins, split_pins
from job_runners.building.package_files import how_to_add
from job_runners.places import relative_path

_IMPORT_ERRORS = re.compile(r"\b(ImportError|ModuleNotFoundError)\b")


def check_requirements(app: AppFolder) -> None:
    """Raise UnusableAppFolder for the first import of a package that no lock pins.

    Imports inside functions count too. Imports for type checkers don't, and neither do those whose
    failure the code handles, nor those in tests.
    """
    provided = sys.stdlib_module_names | our_names() | app.sources.keys()
    imports = [
        (module, file, line) for module, file, line in _imports(app) if module not in provided
    ]
    if not imports:
        return
    providers = packages_distributions()
    pinned = {name for name, _ in split_pins(project_pins(app))}
    pinned |= {name for name, _ in split_pins(OUR_LOCK.read_text(encoding="utf-8"))}
    for module, file, line in imports:
        names = sorted(set(providers.get(module, ())))
        # If this environment doesn't have the package either, the import itself fails.
        if names and not any(_is_pinned(name, pinned) for name in names):
            raise UnusableAppFolder(
                f"{relative_path(file)}:{line} imports {module}, from the package {names[0]}. This "
                f"environment has it, but {app.lock.name} doesn't pin it, so the functions "
                f"wouldn't have it. {how_to_add(names[0], app.requirements, names[0])}"
            )


def _is_pinned(name: str, pinned: set[str]) -> bool:
    return canonicalize_name(name) in pinned or _is_local(name)


def _is_local(name: str) -> bool:
    """Return whether a package came from a path or an address, which a lock may pin unnamed."""
    try:
        return distribution(name).read_text("direct_url.json") is not None
    except PackageNotFoundError:
        return False


def _imports(app: AppFolder) -> Iterator[tuple[str, Path, int]]:
    """Yield each imported top-level module, with the file and line of the import."""
    for folder in app.sources.values():
        for file in sorted(folder.rglob("*.py")):
            path = file.relative_to(folder)
            is_test = path.name == "conftest.py" or path.name.startswith("test_")
            if is_test or "tests" in path.parts:
                continue
            try:
                tree = ast.parse(file.read_bytes())
            except (SyntaxError, ValueError):  # the build shows it with its line
                continue
            for module, line in _required_imports(tree):
                yield module, file, line


def _required_imports(node: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield the imports below a node that must succeed."""
    if isinstance(node, ast.Import):
        yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module.partition(".")[0], node.lineno
    optional = _optional_parts(node)
    for child in ast.iter_child_nodes(node):
        if child not in optional:
            yield from _required_imports(child)


def _optional_parts(node: ast.AST) -> Sequence[ast.AST]:
    """Return a node's children that never run, or in which a failed import is handled."""
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        return node.orelse if isinstance(node.test, ast.UnaryOp) else node.body
    if isinstance(node, ast.Try) and any(map(_handles_imports, node.handlers)):
        return [*node.body, *node.handlers]
    if isinstance(node, ast.With) and any(map(_handles_imports, node.items)):
        return node.body
    return []


def _handles_imports(node: ast.ExceptHandler | ast.withitem) -> bool:
    error_type = node.type if isinstance(node, ast.ExceptHandler) else node.context_expr
    return error_type is None or bool(_IMPORT_ERRORS.search(ast.unparse(error_type)))
