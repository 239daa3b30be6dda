"""The places that say which version this is agree, and what the page about upgrades shows works."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import job_runners
from job_runners.places import ROOT
from job_runners.work.payloads import validate, validate_new
from released_code import RECORDED, VERSIONS, is_dated, sealed, unreleased_texts

PAGE = (ROOT / "docs/operate/upgrading.md").read_text()


def test_the_wheel_that_the_examples_install_is_of_this_version() -> None:
    found: dict[str, set[str]] = {}
    for name in ("requirements.txt", "pyproject.toml"):
        for file in (ROOT / "examples").glob(f"*/{name}"):
            pattern = r"job.runners(?:\[app\]==|-)([0-9.]*[0-9])"
            if versions := re.findall(pattern, file.read_text()):
                found[file.parent.name] = set(versions)
    assert found.keys() == {"django_app", "second_lambda"}
    assert all(versions == {job_runners.__version__} for versions in found.values()), found


def test_the_newest_version_of_the_changelog_is_this_one() -> None:
    assert headings()[0].split()[0] == job_runners.__version__
    assert not any("unreleased" in each for each in headings()[1:])


def test_each_version_of_the_changelog_is_recorded() -> None:
    versions = {each.split()[0]: each for each in headings()}
    assert set(RECORDED) == versions.keys()
    dated = {version for version, each in versions.items() if "(unreleased)" not in each}
    assert set(VERSIONS) == dated == sealed()


def test_no_page_and_no_message_of_a_release_calls_it_unreleased() -> None:
    found = unreleased_texts()
    if is_dated(job_runners.__version__):
        assert not found, "\n".join(["These say that the package isn't on an index:", *found])
    else:
        assert {line.partition(":")[0] for line in found} >= {
            *("README.md", "docs/start/quickstart.md", "docs/start/status.md"),
            *("docs/operate/upgrading.md", "docs/build/project.md", "tests/released/README.md"),
            *("job_runners/building/project/readme.in", "job_runners/cli/entry.py"),
        }


@pytest.mark.parametrize(
    "text",
    [
        *("Build its wheel once, in a clone", "[the wheel](../build/project.md#get-the-wheel)"),
        *(
            "make wheel",
            "## Get the wheel",
            "install the wheel with its extra",
            "Install the wheel",
        ),
        *(
            "pip install 'PATH/job_runners-….whl'",
            "isn't released yet",
            "So far, nothing was released.",
        ),
    ],
)
def test_a_text_that_holds_only_before_the_release_is_found(text: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"A page.\n{text}\n")
    assert unreleased_texts(tmp_path) == [f"README.md:2: {text}"]


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
