"""What a row is written and read as: the same as pynamodb's own, and whatever JSON a job gives."""

import random
import tracemalloc
import zlib
from typing import Any

import pytest
from pynamodb import attributes
from pynamodb.attributes import BinaryAttribute, JSONAttribute, UnicodeAttribute
from pynamodb.connection import Connection
from pynamodb.exceptions import AttributeDeserializationError
from pynamodb.models import Model

from bench import Bench, bench
from job_runners.store import blobs, limits, transitions
from job_runners.store.job_request import JobRequest
from job_runners.store.table import Integer, Table
from job_runners.store.transitions.ending import Checkpoint

__all__ = ["bench"]


class Plain(Model):
    """As pynamodb has it."""

    class Meta:
        table_name = "jobs"

    id = attributes.UnicodeAttribute(hash_key=True)
    payload = attributes.BinaryAttribute(legacy_encoding=False, null=True)
    cursor = attributes.JSONAttribute(null=True)
    invocations = attributes.NumberAttribute(default=0)


class Ours(Table):
    """The same, of ours."""

    class Meta:
        table_name = "jobs"

    table_setting = "JOBS_TABLE_NAME"

    id = UnicodeAttribute(hash_key=True)
    payload = BinaryAttribute(legacy_encoding=False, null=True)
    cursor = JSONAttribute(null=True)
    invocations = Integer(default=0)


def expressions(model: Any) -> dict[str, Any]:
    """Return the parts of a request that use each operator there is one of in the transitions."""
    actions = [
        model.invocations.set(model.invocations + 1),
        model.cursor.set(model.cursor | [1]),
        model.payload.set(b"12"),
        model.id.remove(),
        model.cursor.set(None),
    ]
    condition = (
        (model.invocations <= 3)
        & ((model.id == "a") | model.id.is_in("b", "c"))
        & (model.invocations < 4)
        & model.payload.exists()
        & model.cursor.does_not_exist()
        & (model.payload == b"1")
    )
    connection = Connection()
    connection.get_identifier_map = lambda *_, **__: {}  # type: ignore[method-assign] # no table asked
    return connection.get_operation_kwargs("jobs", "a", actions=actions, condition=condition)


def test_expressions_are_those_of_pynamodb() -> None:
    assert expressions(Ours) == expressions(Plain)


@pytest.mark.parametrize(
    "values",
    [{}, {"payload": b"1", "cursor": {"a": [1, None]}, "invocations": 3}, {"invocations": None}],
)
def test_an_item_is_that_of_pynamodb(values: dict[str, Any]) -> None:
    ours, plain = Ours(id="a"), Plain(id="a")
    for row in (ours, plain):
        for name, value in values.items():
            setattr(row, name, value)
    if values.get("invocations", 0) is None:
        for row in (ours, plain):
            with pytest.raises(ValueError, match="invocations"):
                row.serialize()
        assert ours.serialize(null_check=False) == plain.serialize(null_check=False)
        return
    item = plain.serialize()
    assert ours.serialize() == item
    # One of an earlier version lacks what has come since: that has its default.
    for stored in (item, {"id": item["id"]}):
        read, plainly_read = Ours(), Plain()
        read.deserialize({**stored, "of_a_newer_version": {"S": "x"}, "cursor": {"NULL": True}})
        plainly_read.deserialize({**stored, "cursor": {"NULL": True}})
        assert read.attribute_values == plainly_read.attribute_values


@pytest.mark.parametrize("model", [Ours, Plain])
def test_what_is_stored_as_another_type_is_an_error_and_not_none(model: Any) -> None:
    """A row of newer code that is half understood would be worked on as if it were another one."""
    with pytest.raises(AttributeDeserializationError):
        model().deserialize({"id": {"N": "1"}})


@pytest.mark.parametrize("cursor", [{"N": "1"}, {"S": "x"}, {"NULL": True}, {"M": {}}])
def test_a_cursor_may_look_like_a_stored_value(bench: Bench, cursor: Any) -> None:
    row = bench.claim(bench.dispatch())
    transitions.checkpoint(row, Checkpoint(cursor, 50, None))
    assert bench.read(row).cursor == cursor


@pytest.mark.parametrize("length", [0, 1, 100, 1023, 1024, 1025, 9000])
def test_a_text_of_any_length_is_compressed_as_zlib_does(length: int) -> None:
    chance = random.Random(length)
    varied = chance.randbytes(length)
    again = varied[: length // 3] * 3  # from as far back as there is room for
    for text in (varied, again, bytes(chance.choices(b'{"abc":12}', k=length))):
        packed = blobs.compressed(text)
        assert zlib.decompress(packed) == text
        assert len(packed) <= len(zlib.compress(text)) + 8


def test_a_small_text_is_compressed_in_little_memory() -> None:
    text = b"a" * 1024
    blobs.compressed(text)
    tracemalloc.start()
    try:
        blobs.compressed(text)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 64 * 1024  # five times as much, unless zlib is told how little is to come


def test_nothing_asks_for_the_capacity_consumed(bench: Bench) -> None:
    asked: list[set[str]] = []
    limits.current()  # which a process reads once in 10 s
    dynamodb = JobRequest.connection().client
    dynamodb.meta.events.register(
        "before-parameter-build.dynamodb", lambda params, **_: asked.append(set(params))
    )
    bench.claim(bench.dispatch())
    assert len(asked) == 2
    assert not any("ReturnConsumedCapacity" in each for each in asked)


def test_every_attribute_is_stored_under_its_own_name() -> None:
    tables = {model: model.get_attributes() for model in Table.__subclasses__()}
    assert JobRequest in tables
    for attributes_of_one in tables.values():
        for name, attribute in attributes_of_one.items():
            assert attribute.attr_name == name


def test_a_misspelled_attribute_is_refused() -> None:
    with pytest.raises(ValueError, match="Ours has no attribute 'payloads'"):
        Ours(id="a", payloads=b"")
