"""The places that say which version this is agree, and what the page about upgrades shows works."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import job_runners
from job_runners.places import ROOT
from job_runners.work.payloads import validate, validate_new
from released_code import RELEASED, VERSIONS

PAGE = (ROOT / "docs/operate/upgrading.md").read_text()


def test_the_wheel_that_the_examples_install_is_of_this_version() -> None:
    found: dict[str, set[str]] = {}
    for name in ("requirements.txt", "pyproject.toml"):
        for file in (ROOT / "examples").glob(f"*/{name}"):
            pattern = r"job.runners(?:\[app\]==|-)([0-9.]*[0-9])"
            if versions := re.findall(pattern, file.read_text()):
                found[file.parent.name] = set(versions)
    assert found.keys() == {"django_app", "fastapi_app", "second_lambda"}
    assert all(versions == {job_runners.__version__} for versions in found.values()), found


def test_the_newest_version_of_the_changelog_is_this_one() -> None:
    assert headings()[0].split()[0] == job_runners.__version__
    assert not any("unreleased" in each for each in headings()[1:])


def test_each_released_version_of_the_changelog_is_recorded() -> None:
    released = {each.split()[0] for each in headings() if "(unreleased)" not in each}
    assert released == set(VERSIONS)
    wanted = {f"{name}.json" for name in ("tables", "objects", "messages", "time", "uploads")}
    for version in VERSIONS:
        kept = {file.name for file in (RELEASED / version).iterdir()}
        assert wanted | {"failure_records.json", "code.tar.xz"} <= kept


def headings() -> list[str]:
    return re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_the_page_names_every_place() -> None:
    steps = (ROOT / "docs/contributing/releasing.md").read_text()
    for place in (
        *("job_runners/__init__.py", "examples/*/requirements.txt", "CHANGELOG.md"),
        "examples/django_app/pyproject.toml",
        *("tests/support/record_release.py", "tests/released/"),
    ):
        assert place in steps
        assert list(ROOT.glob(place))


def test_the_page_about_upgrades_names_only_this_version_and_released_ones() -> None:
    assert set(re.findall(r"\b\d+\.\d+\.\d+\b", PAGE)) <= {job_runners.__version__, *VERSIONS}


def test_a_renamed_field_is_read_under_both_names() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    page = ModuleType("page")
    exec(compile(code, "upgrading.md", "exec"), page.__dict__)
    for name in ("recipient", "to"):
        for read in (validate, validate_new):  # in the worker, and at a dispatch
            invoice: Any = read("invoice", page.Invoice, {name: "Ann"})
            assert (invoice.recipient, invoice.currency) == ("Ann", "EUR")


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE))
def test_its_links_lead_somewhere(link: str) -> None:
    assert Path(ROOT / "docs/operate" / link).exists()
