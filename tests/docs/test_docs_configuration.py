"""The tables of docs/reference/configuration.md, compared with the template and the code."""

import json
import re
from collections.abc import Iterator

import pytest

from expanded_template import Template, deployed, expanded, of_type
from job_runners.places import ROOT

PAGE = (ROOT / "docs/reference/configuration.md").read_text()
OTHER = {"JwtIssuer": "https://issuer.example"}
# The template and SAM set these for the functions. Lambda itself sets the rest of AWS_.
OF_LAMBDA = "AWS_"


def _tables(heading: str) -> Iterator[list[str]]:
    """Yield the cells of each row of the tables that begin with this column."""
    for table in re.findall(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE):
        for row in table.splitlines():
            yield [cell.strip() for cell in row[1:-1].split("|")]


PARAMETERS = {row[0].strip("` "): row for row in _tables("parameter") if row[0].strip()}


def _variables() -> set[str]:
    cells = [row[1] for row in _tables("parameter")] + [row[0] for row in _tables("variable")]
    return {name for cell in cells for name in re.findall(r"`(\w+)", cell)}


def _values(template: Template, variable: str) -> Iterator[object]:
    """Yield the values that the template gives a variable, function by function."""
    for function in of_type(template, "AWS::Lambda::Function").values():
        variables = function["Properties"].get("Environment", {}).get("Variables", {})
        if variable in variables:
            yield variables[variable]


def test_the_page_has_every_parameter_with_its_default() -> None:
    template = expanded()["Parameters"]
    assert PARAMETERS.keys() == template.keys()
    shown = {name: row[2].strip("` ") for name, row in PARAMETERS.items()}
    assert shown == {name: str(each["Default"]) for name, each in template.items()}


def test_the_page_has_every_output() -> None:
    named = [name for row in _tables("output") for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(named) == sorted(expanded()["Outputs"])


def test_the_page_has_every_variable_that_the_code_reads() -> None:
    read = set(
        re.findall(
            r"_(?:text|flag|integer|choice|several)\(\s*\"(\w+)\"",
            (ROOT / "job_runners/settings.py").read_text(),
        )
    )
    assert "MAX_UNFINISHED_JOBS" in read
    assert {name for name in read if not name.startswith(OF_LAMBDA)} <= _variables()


@pytest.mark.parametrize(
    ("parameter", "row"),
    [(name, row) for name, row in PARAMETERS.items() if row[1].strip()],
    ids=[name for name, row in PARAMETERS.items() if row[1].strip()],
)
def test_a_parameter_sets_the_variable_of_its_row(parameter: str, row: list[str]) -> None:
    changed = expanded(), deployed(**{parameter: OTHER.get(parameter, "31")})
    before, after = (list(_values(template, row[1].strip("` "))) for template in changed)
    assert before
    assert f'"{parameter}"' in json.dumps(before) or before != after
