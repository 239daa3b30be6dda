"""What import-linter can't hold: the lowest layers, which are modules and not packages."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.build import ROOT, SHIPPED

OURS = {name.removesuffix(".py") for name in SHIPPED}


def imported(path: Path) -> set[str]:
    """Return the top-level names that a module imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names.add(node.module or "")
    return {name.split(".")[0] for name in names}


def shipped() -> Iterator[Path]:
    """Every source file of ours that runs on Lambda."""
    for name in SHIPPED:
        path = ROOT / name
        yield from [path] if path.is_file() else path.rglob("*.py")


@pytest.mark.parametrize(
    ("module", "may"),
    [("errors", set()), ("frozen_values", set()), ("settings", {"errors", "frozen_values"})],
)
def test_the_lowest_layers_import_nothing_from_above(module: str, may: set[str]) -> None:
    assert imported(ROOT / f"{module}.py") & OURS <= may


def test_what_ships_imports_nothing_that_does_not() -> None:
    stays = {each.stem for each in ROOT.iterdir()} - OURS
    assert {path: imported(path) & stays for path in shipped() if imported(path) & stays} == {}


def test_only_settings_reads_the_environment() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for path in shipped()
        if "os.environ" in path.read_text() or "getenv" in path.read_text()
    }
    assert readers == {"settings.py"}


@pytest.mark.parametrize("package", ["jobs", "tasks"])
def test_the_packages_of_work_are_empty_so_that_one_module_is_cheap(package: str) -> None:
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    assert all(isinstance(each, ast.Expr) for each in tree.body)  # a docstring at most


@pytest.mark.parametrize("package", ["runners", "work"])
def test_no_module_imports_from_the_door_of_its_own_package(package: str) -> None:
    """The door imports the package's modules. import-linter doesn't count this as a circle."""
    modules = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
    found = set()
    for module in modules:
        for node in ast.walk(ast.parse((ROOT / package / f"{module}.py").read_text())):
            if isinstance(node, ast.Import):
                found |= {module for alias in node.names if alias.name == package}
            elif isinstance(node, ast.ImportFrom) and node.module == package:
                found |= {module for alias in node.names if alias.name not in modules}
    assert len(modules) > 10
    assert found == set()


def test_no_test_imports_a_test_module() -> None:
    """What tests share is in tests/support: a test module can be split, moved or deleted alone."""
    modules = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    found = {
        path.name: sorted(imported(path) & modules)
        for path in (ROOT / "tests").rglob("*.py")
        if imported(path) & modules
    }
    assert len(modules) > 100
    assert found == {}
