"""The rule of work that is unique: what can't work is refused where it is written, and keys."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from errors import InvalidDefinition
from runners.registry import Registry
from work import Job, RunningJob, Unique


class Plan(BaseModel):
    """What is planned."""

    page: str = "/"
    at: datetime | None = None
    tags: set[str] = set()
    password: SecretStr = SecretStr("")
    more: dict[str, int] = {}


def plan(job: RunningJob, payload: Plan) -> None:
    """Plan."""


def key(by: tuple[str, ...], **fields: Any) -> str:
    return Unique(by=by).key_of("plan", "acme", fields.pop("campaign", None), Plan(**fields))


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"by": "page"}, "must be a tuple of names"),
        ({"by": ("organization_id",)}, "leave out 'organization_id'"),
        ({"by": (), "until": "success"}, 'must be "finished" or "started"'),
        ({"by": (), "on_conflict": "skip"}, 'must be "return", "refuse" or "replace"'),
        ({"by": (), "at_most": 5}, 'is for on_conflict="replace" alone'),
        ({"by": (), "then": "again"}, 'is for on_conflict="replace" alone'),
        ({"by": (), "on_conflict": "replace", "at_most": -1}, "a number of seconds"),
        (
            {"by": (), "on_conflict": "replace", "then": "again", "until": "started"},
            'leave it out with until="started"',
        ),
    ],
)
def test_a_rule_that_cannot_work_is_refused(rule: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidDefinition, match=why.replace("(", r"\(")):
        Unique(**rule)


def test_a_job_takes_a_rule_and_nothing_else() -> None:
    with pytest.raises(InvalidDefinition, match="must be a Unique"):
        Job(plan, unique=("page",))  # type: ignore[arg-type]


def test_a_field_that_the_payload_lacks_is_refused_at_build_time() -> None:
    registry = Registry({"plan": Job(plan, unique=Unique(by=("pages",)))}, {})
    with pytest.raises(InvalidDefinition, match="its payload has no field 'pages'"):
        registry.resolve_all()


def test_a_key_is_of_values_and_not_of_how_they_are_written() -> None:
    assert key(("page",)) == key(("page",), page="/", tags={"x"})
    noon = datetime(2026, 5, 4, 12, tzinfo=UTC)
    assert key(("at",), at=noon) == key(("at",), at="2026-05-04T12:00:00Z")
    many = [f"tag{number}" for number in range(50)]
    assert key(("tags",), tags=set(many)) == key(("tags",), tags=many[::-1])
    assert key(("more",), more={"a": 1, "b": 2}) == key(("more",), more={"b": 2, "a": 1})
    assert key(("page", "at")) == key(("at", "page"))


def test_other_values_have_other_keys() -> None:
    keys = [
        key(()),
        key(("page",)),
        key(("page",), page="/b"),
        key(("campaign_id",)),
        key(("campaign_id",), campaign="spring"),
        key(("password",), password="a"),
        key(("password",), password="b"),
        Unique(by=()).key_of("plan", "umbrella", None, Plan()),
        Unique(by=()).key_of("another", "acme", None, Plan()),
    ]
    assert len(set(keys)) == len(keys)
