"""What a queue may be declared as, and which of its lines a job is in."""

import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, Secret, SecretStr

from job_runners.errors import InvalidDefinition
from job_runners.store.pauses import Kind
from job_runners.work import Queue, Rate


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda: Queue(), "has no limits"),
        (lambda: Queue(per="organization_id"), "has no limits"),
        (lambda: Queue(slots=0), r"Queue\(slots=0\): must be a whole number, 1 to 100"),
        (lambda: Queue(slots=101), "1 to 100"),
        (lambda: Queue(slots=True), "1 to 100"),
        (lambda: Queue(slots=1, per=""), "a field of the payload"),
        (lambda: Queue(slots=1, per=3), "a field of the payload"),  # type: ignore[arg-type]
        (lambda: Queue(slots=1, per=()), "a field of the payload"),
        (lambda: Queue(slots=1, per=("a", "")), "a field of the payload"),
        (lambda: Queue(slots=1, per=("a", 3)), "a field of the payload"),  # type: ignore[arg-type]
        (lambda: Queue(rate=30), "must be a Rate"),  # type: ignore[arg-type]
        (lambda: Queue(slots=1, order="lifo"), "fifo"),  # type: ignore[arg-type]
        (lambda: Queue(slots=1, max_waiting=0), "max_waiting"),
        (lambda: Queue(slots=1, max_waiting=100_001), "100,000"),
        (lambda: Rate(0), r"Rate\(count=0\)"),
        (lambda: Rate(1.5), "whole number"),  # type: ignore[arg-type]
        (lambda: Rate(1, burst=0), r"Rate\(burst=0\)"),
        (lambda: Rate(1, seconds=0), r"Rate\(seconds=0\)"),
        (lambda: Rate(1, seconds=float("nan")), "seconds"),
        (lambda: Rate(1, seconds=86_401), "a day"),
        (lambda: Rate(1, seconds=True), "seconds"),
        (lambda: Rate(1, seconds="60"), "seconds"),  # type: ignore[arg-type]
    ],
)
def test_a_queue_that_can_not_work_is_refused_where_it_is_written(
    wrong: Callable[[], object], why: str
) -> None:
    with pytest.raises(InvalidDefinition, match=why):
        wrong()


@pytest.mark.parametrize(
    ("rate", "interval"),
    [
        (Rate(30, seconds=60), 2_000_000),
        (Rate(3), 333_334),  # rounded up: a thousandth more each second would be one too many
        (Rate(1, seconds=86_400), 86_400_000_000),
        (Rate(1_000_000, seconds=0.001), 1),
    ],
)
def test_starts_are_spread_over_the_period(rate: Rate, interval: int) -> None:
    assert rate.interval == interval


Per = str | tuple[str, ...] | None


def key(per: Per, payload: object = (), *, org: str = "a") -> str:
    return Queue(slots=1, per=per).key_of(org, payload)


@pytest.mark.parametrize(
    ("per", "payload", "expected"),
    [
        (None, {"domain": "x"}, "*"),
        ("organization_id", {}, "acme"),
        (("organization_id",), {}, "acme"),
        (("organization_id", "domain"), {"domain": "x"}, "acme:x"),
        (("domain", "port", "organization_id"), {"domain": "x", "port": 80}, "x:80:acme"),
        ("domain", {"domain": "example.com"}, "example.com"),
        ("domain", {"domain": 12}, "12"),
        ("domain", {"domain": True}, "true"),
        ("domain", {"domain": False}, "false"),
        ("domain", {"domain": "ж" * 64}, "ж" * 64),
        ("domain", {}, "*"),
        ("domain", {"domain": None}, "*"),
        ("domain", {"domain": 1.5}, "*"),
        ("domain", {"domain": ["x"]}, "*"),
        ("domain", [1], "*"),
    ],
)
def test_a_key_is_the_value_as_text(per: Per, payload: object, expected: str) -> None:
    assert key(per, payload, org="acme") == expected


class Order(BaseModel):
    """A payload of which each field is of another type."""

    model_config = ConfigDict(extra="allow")

    account: int = Field(default=3, alias="acct")
    place: UUID = UUID(int=0)
    kind: Kind = Kind.QUEUE
    token: SecretStr = SecretStr("")
    at: datetime | None = None
    share: float = 0
    price: Decimal = Decimal(0)
    lines: list[str] = []
    anything: Any = None


@pytest.mark.parametrize(
    ("per", "payload", "expected"),
    [
        ("account", {"acct": "07"}, "7"),
        ("acct", {"acct": "07"}, "7"),
        ("account", {}, "3"),
        ("place", {"place": "0" * 31 + "A"}, "00000000-0000-0000-0000-00000000000a"),
        ("kind", {"kind": "job_type"}, "job_type"),
        ("token", {"token": "abc"}, "abc"),
        ("share", {"share": "5"}, "5"),
        ("share", {"share": 1.5}, "*"),
        ("share", {"share": "inf"}, "*"),
        ("price", {"price": "5.50"}, "5.5"),
        ("lines", {"lines": ["a"]}, "*"),
        ("at", {}, "*"),
        ("anything", {"anything": object()}, "*"),
        ("other", {"other": "x"}, "x"),
        ("other", {}, "*"),
    ],
)
def test_a_key_is_of_the_value_that_the_model_has(
    per: str, payload: dict[str, Any], expected: str
) -> None:
    assert key(per, Order(**payload)) == expected


@pytest.mark.parametrize(
    ("per", "refused"),
    [
        ("token", True),
        ("tok", True),
        ("spare", True),
        (("organization_id", "token"), True),
        ("account", False),
        ("organization_id", False),
    ],
)
def test_a_queue_does_not_go_by_a_secret(per: Per, refused: bool) -> None:
    class WithSecrets(Order):
        token: SecretStr = Field(SecretStr(""), alias="tok")
        spare: Secret[int] | None = None

    wrong = Queue(slots=1, per=per).misfit(WithSecrets)
    assert (wrong is not None and "is a secret of the payload" in wrong) is refused


@pytest.mark.parametrize(
    ("per", "refused"), [("organization_id", True), ("domain", False), (None, False)]
)
def test_a_payload_hides_no_field_of_the_job_that_a_queue_goes_by(per: Per, refused: bool) -> None:
    class WithOrganization(BaseModel):
        organization_id: str = ""
        domain: str = ""

    wrong = Queue(slots=1, per=per).misfit(WithOrganization)
    assert (wrong is not None and "would be ignored" in wrong) is refused


def test_a_payload_without_the_field_is_in_the_line_of_all_others() -> None:
    class Another(BaseModel):
        """The payload of another job type of the queue."""

    assert key("account", Another()) == key("account", object()) == "*"


def test_one_moment_in_two_zones_is_one_line() -> None:
    times = ("2026-05-04T12:00:00Z", "2026-05-04T14:00:00+02:00")
    found = {key("at", Order.model_validate({"at": each})) for each in times}
    assert len(found) == 1
    assert found != {"*"}


def test_jobs_without_one_of_several_values_share_a_line_of_the_others() -> None:
    per = ("organization_id", "domain")
    assert key(per, {}) == key(per, {"domain": None})
    assert len({key(per, {}), key(per, {"domain": "*"}), key(per, {}, org="b")}) == 3


@pytest.mark.parametrize(
    "value", ["", "*", "a#b", "a\nb", "\u202egnp.exe", "x" * 65, "\ud800", "h-" + "0" * 32]
)
def test_what_no_key_can_have_is_hashed(value: str) -> None:
    assert re.fullmatch("h-[0-9a-f]{32}", key("domain", {"domain": value}))


def test_different_values_have_different_lines() -> None:
    values: list[Any] = [
        "",
        "*",
        "#",
        "h-",
        "x" * 65,
        "x" * 66,
        key("domain", {"domain": "#"}),
        None,
    ]
    assert len({key("domain", {"domain": value}) for value in values}) == len(values)
    # Neither organization is in the other's line, whatever the values of its jobs are.
    per = ("organization_id", "domain")
    assert key(per, {"domain": "c"}, org="a:b") != key(per, {"domain": "b:c"}, org="a")


def test_one_name_in_a_tuple_is_that_name() -> None:
    assert Queue(slots=1, per=("organization_id",)) == Queue(slots=1, per="organization_id")
