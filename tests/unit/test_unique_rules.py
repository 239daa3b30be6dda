"""The rule of work that is unique: what can't work is refused where it is written, and keys."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import Base64Bytes, BaseModel, Field, SecretStr

from job_runners.engine.registry.registry import Registry
from job_runners.errors import InvalidDefinition
from job_runners.work import Job, JobEnded, Queue, RunningJob, Unique

# Alike in the 28 digits that a decimal is rounded to; and so large that its digits fill no memory.
LONG_PRICES = ["1." + "0" * 40 + "1", "1." + "0" * 40 + "2", "1", "1E+999999"]


class Part(BaseModel):
    """A part of a plan."""

    password: SecretStr = SecretStr("")


class Plan(BaseModel):
    """What is planned."""

    page: str = "/"
    at: datetime | None = None
    tags: set[str] = set()
    password: SecretStr = SecretStr("")
    more: dict[str, int] = {}
    data: Base64Bytes = b""
    price: Decimal = Decimal(0)
    share: float = 0
    size: bool | int | float | str = 0
    frozen: frozenset[str] = frozenset()
    part: Part = Part()
    codes: list[SecretStr] = []
    pair: tuple[SecretStr, ...] = ()
    named: dict[str, SecretStr] = {}
    ratio: Decimal = Field(default=Decimal(0), allow_inf_nan=True)


def plan(job: RunningJob, payload: Plan) -> None:
    """Plan."""


def key(by: tuple[str, ...], **fields: Any) -> str:
    return Unique(by=by).key_of("plan", "acme", Plan(**fields))


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({"by": "page"}, "must be a tuple of names"),
        ({"by": ("page", "")}, "must be a tuple of names"),
        ({"by": ("page", 5)}, "must be a tuple of names"),
        ({"by": ("organization_id",)}, "leave out 'organization_id'"),
        ({"by": (), "until": "success"}, 'must be "finished" or "started"'),
        ({"by": (), "on_conflict": "skip"}, 'must be "return", "refuse" or "replace"'),
        ({"by": (), "at_most": 5}, 'needs on_conflict="replace"'),
        ({"by": (), "then": "again"}, 'needs on_conflict="replace"'),
        ({"by": (), "on_conflict": "replace", "then": "later"}, 'must be "again" or None'),
        ({"by": (), "on_conflict": "replace", "at_most": -1}, "a number of seconds"),
        ({"by": (), "on_conflict": "replace", "at_most": "5"}, "a number of seconds"),
        ({"by": (), "on_conflict": "replace", "at_most": True}, "a number of seconds"),
        ({"by": (), "on_conflict": "replace", "at_most": float("inf")}, "a number of seconds"),
        (
            {"by": (), "on_conflict": "replace", "then": "again", "until": "started"},
            'leave it out with until="started"',
        ),
    ],
)
def test_a_rule_that_cannot_work_is_refused(rule: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidDefinition, match=why.replace("(", r"\(")):
        Unique(**rule)


def test_names_may_be_a_list_and_seconds_a_fraction() -> None:
    given: Any = {"by": ["page", "at", "page"]}
    rule = Unique(**given, on_conflict="replace", at_most=0.5)
    assert (rule.by, rule.at_most) == (("page", "at"), 0.5)


def test_a_job_takes_a_rule_and_nothing_else() -> None:
    with pytest.raises(InvalidDefinition, match="must be a Unique"):
        Job(plan, unique=("page",))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("pages", "did you mean 'page'?"),
        ("customer", "it has 'page', "),
    ],
)
def test_a_field_that_the_payload_lacks_is_refused_at_build_time(name: str, hint: str) -> None:
    """With the file and line, and the field that is meant."""
    registry = Registry({"plan": Job(plan, unique=Unique(by=(name,)))}, {})
    with pytest.raises(InvalidDefinition) as refused:
        registry.resolve_all()
    text = str(refused.value)
    assert re.match(r"JOBS: 'plan' \(.*test_unique_rules\.py, line \d+\): Unique\(by=\): ", text)
    assert f"its payload has no field {name!r}; {hint}" in text


class Nothing(BaseModel):
    """A payload without fields."""


def test_of_a_payload_without_fields_it_is_said_that_it_has_none() -> None:
    wrong = Unique(by=("customer",)).misfit(Nothing)
    assert wrong == "Unique(by=): its payload has no field 'customer'; it has none"
    with pytest.raises(InvalidDefinition, match=r"^nothing: Unique\(by=\): its payload has no"):
        Unique(by=("customer",)).key_of("nothing", "acme", Nothing())


class Aimed(BaseModel):
    """A payload with an organization in addition to the job's own."""

    organization_id: str = ""


class AimedElsewhere(BaseModel):
    """A payload that is given an organization in addition to the job's own."""

    target: str = Field(default="", alias="organization_id")


def aim(job: RunningJob, payload: Aimed) -> None:
    """Aim."""


def aim_elsewhere(job: RunningJob, payload: AimedElsewhere) -> None:
    """Aim elsewhere."""


@pytest.mark.parametrize("function", [aim, aim_elsewhere])
@pytest.mark.parametrize("per", ["organization_id", ("organization_id", "target")])
def test_a_queue_by_an_organization_that_the_payload_has_too_is_refused_at_build_time(
    function: Any, per: str | tuple[str, ...]
) -> None:
    """It means the job's own, which may not be the one that was meant."""
    queues = {"aims": Queue(slots=1, per=per), "others": Queue(slots=1, per="target")}
    job = Job(function, queue_name="aims")
    with pytest.raises(InvalidDefinition) as refused:
        Registry({"aim": job}, {}, queues=queues).resolve_all()
    text = str(refused.value)
    why = "means the job's own organization_id, but its payload also"
    assert text.startswith(f"QUEUES: 'aims': Queue(per={per!r}): {why}")
    assert re.search(r"or remove that field \(the job 'aim', .*test_unique_rules\.py, line", text)
    Registry({"aim": Job(function)}, {}, queues=queues).resolve_all()


def tidy(job: RunningJob, payload: JobEnded) -> None:
    """Tidy what a job has left."""


def test_a_follow_up_goes_by_its_own_organization() -> None:
    """It is that of the job that has ended, so the payload's field has the same value."""
    follow_up = Job(tidy, queue_name="tidying")
    queues = {"tidying": Queue(slots=1, per="organization_id")}
    Registry({"tidy": follow_up}, {}, queues=queues).resolve_all()


def test_a_key_is_of_values_and_not_of_how_they_are_written() -> None:
    assert key(("page",)) == key(("page",), page="/", tags={"x"})
    noon = datetime(2026, 5, 4, 12, tzinfo=UTC)
    assert key(("at",), at=noon) == key(("at",), at="2026-05-04T12:00:00Z")
    assert key(("at",), at=noon) == key(("at",), at="2026-05-04T14:00:00+02:00")
    assert key(("price",), price="1.0") == key(("price",), price="1.00") == key(("price",), price=1)
    assert key(("price",), price="0") == key(("price",), price="-0.0")
    assert key(("share",), share=0.0) == key(("share",), share=-0.0)
    assert key(("size",), size=1) == key(("size",), size=1.0)
    assert key(("size",), size=10**22) == key(("size",), size=1e22)
    many = [f"tag{number}" for number in range(50)]
    assert key(("tags",), tags=set(many)) == key(("tags",), tags=many[::-1])
    assert key(("frozen",), frozen=many) == key(("frozen",), frozen=many[::-1])
    assert key(("ratio",), ratio="NaN") == key(("ratio",), ratio="nan")
    assert key(("more",), more={"a": 1, "b": 2}) == key(("more",), more={"b": 2, "a": 1})
    assert key(("page", "at")) == key(("at", "page"))


def test_other_values_have_other_keys() -> None:
    keys = [
        key(()),
        key(("page",)),
        key(("page",), page="/b"),
        key(("password",), password="a"),
        key(("password",), password="b"),
        *(key(("part",), part={"password": each}) for each in "ab"),
        *(key(("codes",), codes=[each]) for each in "ab"),
        *(key(("pair",), pair=[each]) for each in "ab"),
        *(key(("named",), named={"x": each}) for each in "ab"),
        *(key(("ratio",), ratio=ratio) for ratio in ("NaN", "Infinity", "-Infinity", 0)),
        key(("data",), data="/w=="),  # no text in UTF-8
        key(("data",), data="/g=="),
        *(key(("size",), size=size) for size in (1, 1.5, True, "1", "1.0", float("inf"), 1e308)),
        *(key(("price",), price=price) for price in LONG_PRICES),
        *(key(("at",), at=at) for at in ("0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00")),
        Unique(by=()).key_of("plan", "umbrella", Plan()),
        Unique(by=()).key_of("another", "acme", Plan()),
    ]
    assert len(set(keys)) == len(keys)
