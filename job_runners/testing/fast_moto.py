"""Make moto's DynamoDB several times faster, because tests wait for moto more than for anything
else.

Moto's own handlers answer, and its own code evaluates conditions. This module skips the slow parts
that decide nothing: the HTTP layer, the parse trees of updates, and the copy of whole tables before
a transaction. job_runners/testing/fast_items.py makes items and conditions faster, and
fast_queries.py queries.
tests/testing/test_fast_moto.py compares each answer with moto's own.

A query whose lower bound is above its upper bound is refused, as in DynamoDB. Moto returns an empty
result.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

from botocore import xform_name
from botocore.awsrequest import AWSResponse, HTTPHeaders
from moto.core import models
from moto.core.botocore_stubber import BotocoreStubber, MockRawResponse
from moto.dynamodb.comparisons import get_filter_expression
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table
from moto.dynamodb.models.utilities import dynamo_json_dump
from moto.dynamodb.responses import DynamoHandler

from job_runners.testing import fast_queries
from job_runners.testing.fast_items import REPLACEMENTS, is_small
from job_runners.testing.moto_direct import ACCOUNT, REGION, refuse_reversed_bounds

_OPERATIONS = {
    *("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan"),
    *("BatchGetItem", "BatchWriteItem", "TransactGetItems", "TransactWriteItems"),
}

Item = dict[str, Any]
"""An item, or a part of a request, in DynamoDB's own form."""

# The originals, before anything is patched.
_STUBBER = BotocoreStubber.__call__
_QUERY = DynamoHandler.query
_UPDATE = DynamoDBBackend.update_item
_TRANSACT = DynamoDBBackend.transact_write_items


@contextmanager
def mocked() -> Iterator[None]:
    """Do what moto's mock_aws does, with its patterns for the library `requests` made only once.

    They are 1,300, and moto makes them again for each test. AWS itself is new and empty.
    """
    known = models.responses_mock.registered()
    with (
        patch.object(models, "RESPONSES_METHODS", [] if known else models.RESPONSES_METHODS),
        patch.object(models, "reset_responses_mock", _keep_patterns),
        models.MockAWS(),
    ):
        yield


def _keep_patterns(mock: Any) -> None:
    mock.calls.reset()


@contextmanager
def fast_moto() -> Iterator[None]:
    """Answer DynamoDB's calls the fast way in this block."""
    with ExitStack() as stack:
        for owner, name, quick in (
            (BotocoreStubber, "__call__", _answer),
            (DynamoHandler, "query", _query),
            (DynamoDBBackend, "update_item", _update),
            (DynamoDBBackend, "transact_write_items", _transact),
            (Table, "query", fast_queries.query),
            *REPLACEMENTS,
        ):
            stack.enter_context(patch.object(owner, name, quick))
        yield


def _answer(stubber: Any, event_name: str, request: Any, **named: Any) -> AWSResponse | None:
    """Answer a DynamoDB request with moto's handler.

    Moto's own path answers all other requests, and those that the handler refuses.
    """
    _, service, operation = event_name.split(".")
    is_known = service == "dynamodb" and operation in _OPERATIONS and REGION in request.url
    if not is_known or not stubber.enabled:
        return _STUBBER(stubber, event_name, request, **named)
    handler: Any = DynamoHandler()
    handler.current_account, handler.region = ACCOUNT, REGION
    handler.body = handler.params = json.loads(request.body, object_hook=_bytes_decoded)
    try:
        result = getattr(handler, xform_name(operation))().result
    except Exception:  # noqa: BLE001 - nothing has changed yet, so moto can answer instead
        return _STUBBER(stubber, event_name, request, **named)
    body = dynamo_json_dump(result).encode()
    return AWSResponse(request.url, 200, HTTPHeaders(), MockRawResponse(body))


def _query(handler: Any) -> Any:
    refuse_reversed_bounds(handler.body)
    return _QUERY(handler)


def _bytes_decoded(part: Item) -> Item:
    match part:
        case {"B": str(text)}:
            return {"B": base64.b64decode(text)}
    return part


# One clause of a SET. It sets an attribute to a value, to an attribute plus a value, or to an
# attribute with a value as the default.
_CLAUSE = r"(#\w+) = (?:(#\w+) \+ |if_not_exists \((#\w+), )?(:\w+)\)?"
_CLAUSES = re.compile(_CLAUSE)
_UPDATE_OF_WHOLE = re.compile(
    rf"(?:SET (?P<sets>{_CLAUSE}(?:, {_CLAUSE})*))? ?(?:REMOVE (?P<removals>#\w+(?:, #\w+)*))?"
    r" ?(?:ADD (?P<addend>#\w+) (?P<number>:\w+))?"
)


def _update(
    tables: Any,
    table_name: str,
    key: Item,
    update_expression: str,
    expression_attribute_names: Item,
    expression_attribute_values: Item,
    condition_expression: str | None = None,
    **others: Any,
) -> Any:
    """Do an update of whole attributes as a put of the resulting item. Leave other updates to
    moto."""
    given = expression_attribute_names, expression_attribute_values
    item = None
    if not any(others.values()):
        item = _updated(tables.get_item(table_name, key), key, update_expression, *given)
    if item is not None:
        return tables.put_item(table_name, item, None, condition_expression, *given)
    others["condition_expression"] = condition_expression
    return _UPDATE(tables, table_name, key, update_expression, *given, **others)


def _transact(tables: Any, transact_items: list[Item]) -> None:
    """If a transaction's conditions hold, do it without copying the tables. Leave others to
    moto."""
    writes = [next(iter(each.items())) for each in transact_items]
    keys = [_key(tables, how, call) for how, call in writes]
    targets = {(call["TableName"], str(key)) for (_, call), key in zip(writes, keys, strict=True)}
    planned = [_plan_write(tables, key, *write) for write, key in zip(writes, keys, strict=True)]
    changes = [change for change in planned if change is not None]
    if len(targets) < len(writes) or len(changes) < len(writes):
        _TRANSACT(tables, transact_items)
        return
    for change in changes:
        change()


def _plan_write(tables: Any, key: Item, how: str, call: Item) -> Callable[[], Any] | None:
    """Return a function that does a write, or None if the condition fails or moto must do it."""
    name = call["TableName"]
    given = call.get("ExpressionAttributeNames", {}), call.get("ExpressionAttributeValues", {})
    current = tables.get_item(name, key)
    if not get_filter_expression(call.get("ConditionExpression"), *given).expr(current):
        return None
    if how == "Delete":
        return partial(tables.delete_item, name, key)
    if how == "ConditionCheck":
        return lambda: None
    if how == "Put":
        item = call["Item"] if is_small(call["Item"]) else None
    else:
        item = _updated(current, key, call["UpdateExpression"], *given)
    return partial(tables.put_item, name, item) if item else None


def _key(tables: Any, how: str, call: Item) -> Item:
    if how != "Put":
        return dict(call["Key"])
    table = tables.get_table(call["TableName"])
    names = filter(None, (table.hash_key_attr, table.range_key_attr))
    return {name: call["Item"][name] for name in names}


def _updated(current: Any, key: Item, update: str, names: Item, values: Item) -> Item | None:
    """Return the item after an update, or None if moto must handle the update."""
    clauses = _UPDATE_OF_WHOLE.fullmatch(update)
    if clauses is None:
        return None
    sets = _CLAUSES.findall(clauses["sets"] or "")
    removed = [names[each] for each in (clauses["removals"] or "").split(", ") if each]
    added = [names[clauses["addend"]]] if clauses["addend"] else []
    changed = [*(names[name] for name, *_ in sets), *removed, *added, *key]
    if len(set(changed)) < len(changed):
        return None  # DynamoDB refuses an attribute that is changed twice, or a key
    before = current.to_json()["Attributes"] if current else key
    item = dict(before)
    for name, addend, default, value in sets:
        new = values[value]
        if addend:
            if names[addend] not in before:
                return None
            new = _sum(before[names[addend]], new)
        elif default:
            new = before.get(names[default], new)
        item[names[name]] = new
    for name in removed:
        item.pop(name, None)
    for name in added:
        number, stored = values[clauses["number"]], before.get(name, {"N": "0"})
        if "N" not in number or "N" not in stored:
            return None  # a set, or what DynamoDB refuses
        item[name] = _sum(stored, number)
    return item if is_small(item) else None


def _sum(number: Item, addend: Item) -> Item:
    return {"N": str(int(number["N"]) + int(addend["N"]))}
