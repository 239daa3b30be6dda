"""One deploy takes a stack from any release to today's template, and one takes it back. Until there
is a release, today's template takes its part.

What CloudFormation and DynamoDB refuse in one update, or do by putting an empty resource in the
place of a full one, no local AWS shows.
"""

from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest

from expanded_template import Template, expanded, expanded_from, properties
from released_code import RELEASED, TEMPLATE, VERSIONS, unpack

TABLE = "AWS::DynamoDB::Table"
# What holds data, and the properties by whose change CloudFormation makes another, an empty one.
IDENTITY = {
    TABLE: ("TableName", "KeySchema", "LocalSecondaryIndexes"),
    "AWS::S3::Bucket": ("BucketName",),
    "AWS::SQS::Queue": ("QueueName", "FifoQueue"),
    "AWS::Logs::LogGroup": ("LogGroupName",),
    "AWS::ApiGatewayV2::Api": ("ProtocolType",),  # callers know its address
    "AWS::Lambda::Function": ("FunctionName", "PackageType"),
}
# Patterns that take what those of the releases took, and more.
WIDER: dict[str, str] = {}


@pytest.fixture(scope="module", params=VERSIONS or ["today"])
def released(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Expand a release's template."""
    if not VERSIONS:
        return expanded()
    folder: Path = tmp_path_factory.mktemp("released")
    return expanded_from(unpack(RELEASED / request.param, folder) / TEMPLATE)


@pytest.fixture(scope="module")
def today() -> Template:
    """Expand today's."""
    return expanded()


def in_both(released: Template, today: Template) -> Iterator[tuple[str, Any, Any]]:
    for name, resource in released["Resources"].items():
        if name in today["Resources"]:
            yield name, resource, today["Resources"][name]


def test_no_resource_has_another_type(released: Template, today: Template) -> None:
    """CloudFormation refuses that of one name."""
    types = [(name, old["Type"], new["Type"]) for name, old, new in in_both(released, today)]
    assert len(types) > 30
    assert [each for each in types if each[1] != each[2]] == []


def test_what_holds_data_is_still_there_and_the_same(released: Template, today: Template) -> None:
    for name, old in released["Resources"].items():
        for fixed in IDENTITY.get(old["Type"], ()):
            assert name in today["Resources"]
            new = properties(today, name)
            assert new.get(fixed) == old["Properties"].get(fixed), (name, fixed)


def test_a_table_gains_or_loses_one_index_at_most(released: Template, today: Template) -> None:
    """DynamoDB makes or deletes one of a table in an update, and changes none."""
    tables = [(old, new) for _, old, new in in_both(released, today) if old["Type"] == TABLE]
    assert len(tables) == 2
    for old, new in tables:
        before, after = indexes(old), indexes(new)
        assert len(before.keys() ^ after.keys()) <= 1
        assert {
            name: after[name] for name in before.keys() & after.keys()
        }.items() <= before.items()


def indexes(table: Any) -> dict[str, Any]:
    listed = table["Properties"].get("GlobalSecondaryIndexes", [])
    return {each["IndexName"]: each for each in listed}


def test_a_table_that_gets_an_index_is_ready_before_the_code_that_reads_it(today: Template) -> None:
    """A function that refers to a table is updated after it."""
    for name in ("ApiFunction", "WorkerFunction", "TimerFunction", "FailuresFunction"):
        given = properties(today, name)["Environment"]["Variables"]
        for table in ("JobsTable", "CoordinationTable"):
            assert {"Ref": table} in given.values()


def test_a_parameter_that_is_new_has_a_default(released: Template, today: Template) -> None:
    """An update leaves those that it is not given as they are; of a new one there is nothing."""
    for name in today["Parameters"].keys() - released["Parameters"].keys():
        assert "Default" in today["Parameters"][name], name


def test_a_value_that_was_taken_is_taken_still(released: Template, today: Template) -> None:
    """An update keeps the values that the stack has: a narrower rule would refuse them."""
    for name, old in released["Parameters"].items():
        new = today["Parameters"][name]
        assert new["Type"] == old["Type"], name
        assert new.get("MinValue", -inf) <= old.get("MinValue", -inf), name
        assert new.get("MaxValue", inf) >= old.get("MaxValue", inf), name
        patterns = {old.get("AllowedPattern"), WIDER.get(name, old.get("AllowedPattern"))}
        assert new.get("AllowedPattern") in patterns, name  # or think it through
        if "AllowedValues" in new:
            assert {*old["AllowedValues"]} <= {*new["AllowedValues"]}, name
