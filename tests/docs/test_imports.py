"""What import-linter can't hold: the lowest layers, which are modules and not packages."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from job_runners.building.app_check import SHIPPED
from job_runners.places import ROOT

PACKAGE = ROOT / "job_runners"
PACKAGE = ROOT / "job_runners"


def modules_of_package() -> set[str]:
    """Return the names of the modules and packages in `job_runners`."""
    return {each.stem for each in PACKAGE.iterdir() if each.stem.isidentifier()}


def imported(path: Path) -> set[str]:
    """Return the names that a module imports, anywhere in it. Ours are relative to job_runners."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            module = node.module or ""
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("job_runners.").split(".")[0] for name in names}


def shipped() -> Iterator[Path]:
    """Yield every source file of ours that runs on Lambda."""
    for name in SHIPPED:
        path = ROOT / name
        yield from [path] if path.is_file() else path.rglob("*.py")


@pytest.mark.parametrize(
    ("module", "may"),
    [("errors", set()), ("caches", set()), ("values", set()), ("settings", {"errors", "values"})],
)
def test_the_lowest_layers_import_nothing_from_above(module: str, may: set[str]) -> None:
    assert imported(PACKAGE / f"{module}.py") & modules_of_package() <= may


def test_what_ships_imports_nothing_that_does_not() -> None:
    ships = {Path(name).stem for name in SHIPPED}
    stays = {each.stem for each in ROOT.iterdir()} | modules_of_package()
    stays -= {"job_runners", *ships}
    door = PACKAGE / "__init__.py"  # imports the client at the first use of its names
    found = {path: imported(path) & stays for path in shipped() if path != door}
    assert {path: names for path, names in found.items() if names} == {}
    assert {"client", "cli", "testing", "tests", "tools"} <= stays
    assert len(found) > 150


def test_only_settings_reads_the_environment() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for path in shipped()
        if "os.environ" in path.read_text() or "getenv" in path.read_text()
    }
    assert readers == {"job_runners/settings.py"}


@pytest.mark.parametrize("package", ["shipped/jobs", "shipped/tasks", "engine"])
def test_a_package_is_empty_so_that_one_module_is_cheap(package: str) -> None:
    tree = ast.parse((PACKAGE / package / "__init__.py").read_text())
    assert all(isinstance(each, ast.Expr) for each in tree.body)  # a docstring at most


@pytest.mark.parametrize("package", ["runners", "work"])
def test_no_module_imports_from_the_door_of_its_own_package(package: str) -> None:
    """The door imports the package's modules. import-linter doesn't count this as a circle."""
    modules = {path.stem for path in (PACKAGE / package).glob("*.py")} - {"__init__"}
    door, found = f"job_runners.{package}", set()
    for module in modules:
        for node in ast.walk(ast.parse((PACKAGE / package / f"{module}.py").read_text())):
            if isinstance(node, ast.Import):
                found |= {module for alias in node.names if alias.name == door}
            elif isinstance(node, ast.ImportFrom) and node.module == door:
                found |= {module for alias in node.names if alias.name not in modules}
    assert len(modules) > 4
    assert found == set()


def test_no_test_imports_a_test_module() -> None:
    """What tests share is in tests/support: a test module can be split, moved or deleted alone."""
    modules = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    found = {
        path.name: sorted(imported(path) & modules)
        for path in (ROOT / "tests").rglob("*.py")
        if imported(path) & modules
    }
    assert len(modules) > 40
    assert found == {}
