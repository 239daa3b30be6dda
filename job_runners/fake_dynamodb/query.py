"""Check a Query call of DynamoDB, and build its answer."""

from job_runners.fake_dynamodb.checks import Call, RequestRefused
from job_runners.fake_dynamodb.expressions import (
    Attributes,
    Names,
    Unsupported,
    Values,
    condition_of,
    key_condition_of,
    projection_of,
)
from job_runners.fake_dynamodb.tables import Entry, Item, Overlay, Range, Table


class Query:
    """A query of a table or of one of its indexes."""

    def __init__(self, table: Table, call: Call) -> None:
        """Check the query. Raises Unsupported."""
        self.table = table
        index_name = call.get("IndexName")
        if index_name is not None and index_name not in table.indexes:
            raise Unsupported
        self.index = table.indexes[index_name] if index_name else table.partitions
        self.consistent: bool = call.get("ConsistentRead", False)
        self.limit: int | None = call.get("Limit")
        self._forward: bool = call.get("ScanIndexForward", True)
        self._counts = call.get("Select") == "COUNT"
        if (index_name and self.consistent) or self.limit == 0:
            raise Unsupported
        if call.get("Select") not in (None, "COUNT") or "KeyConditionExpression" not in call:
            raise Unsupported
        self._names: Names = call.get("ExpressionAttributeNames", {})
        self._values: Values = call.get("ExpressionAttributeValues", {})
        condition = key_condition_of(call["KeyConditionExpression"])
        text = call.get("FilterExpression")
        self._filter = condition_of(text) if text is not None else None
        self._projection = projected_names(call, self._names)
        if self._counts and self._projection:
            raise Unsupported
        used_names = {*condition.names, *(self._projection or ())}
        used_values = set(condition.values)
        if self._filter:
            used_names |= self._filter.names
            used_values |= self._filter.values
        if set(self._names) != used_names or set(self._values) != used_values:
            raise Unsupported
        name, value = condition.hash_key
        if self._names.get(name, name) != self.index.hash_name:
            raise Unsupported
        self._partition = table.plain(self.index.hash_name, self._values[value])
        self._range = self._range_of(condition.range_key, condition.comparison, condition.bounds)
        start = call.get("ExclusiveStartKey")
        self._after = self._entry_of(start) if start is not None else None

    def _range_of(
        self, name: str | None, comparison: str | None, bounds: tuple[str, ...]
    ) -> Range | None:
        if name is None or comparison is None:
            return None
        range_name = self.index.range_name
        if range_name is None or self._names.get(name, name) != range_name:
            raise Unsupported
        values = [self._values[bound] for bound in bounds]
        plain = tuple(self.table.plain(range_name, value) for value in values)
        if comparison == "BETWEEN" and plain[0] > plain[1]:
            raise RequestRefused(  # moto returns an empty result
                "ValidationException",
                "Invalid KeyConditionExpression: The BETWEEN operator requires upper bound to be "
                f"greater than or equal to lower bound; lower bound operand: AttributeValue: "
                f"{values[0]}, upper bound operand: AttributeValue: {values[1]}",
            )
        if comparison == "begins_with" and self.table.kinds[range_name] != "S":
            raise Unsupported
        return Range(comparison, plain)

    def _entry_of(self, start: Attributes) -> Entry:
        key = self.table.key_of(start)
        key_names = {*self.table.keys, self.index.hash_name, self.index.range_name} - {None}
        position = self.table.entry(self.index, key, Item(start))
        if position is None or set(start) != key_names:
            raise Unsupported
        partition, entry = position
        if partition != self._partition:
            raise Unsupported
        return entry

    def select(self, overlay: Overlay) -> tuple[list[Item], bool]:
        """Return the items that the query examines, and whether its partition has more."""
        return self.table.select(
            self.index,
            self._partition,
            self._range,
            after=self._after,
            forward=self._forward,
            limit=self.limit,
            overlay=overlay,
        )

    def project(self, attributes: Attributes) -> Attributes:
        """Return a copy of the attributes that the index has."""
        names = self.index.projected
        if names is None:
            return dict(attributes)
        return {name: attributes[name] for name in names if name in attributes}

    def keeps(self, attributes: Attributes) -> bool:
        """Return whether the filter lets an item through."""
        return self._filter is None or self._filter.holds(attributes, self._names, self._values)

    def answer(
        self, matches: list[Attributes], examined_count: int, last: Attributes | None
    ) -> Call:
        """Return the answer. `last` is the last examined item if there are more, or None."""
        answer: Call = {"Count": len(matches), "ScannedCount": examined_count}
        if not self._counts:
            answer["Items"] = [
                projected(attributes, self._projection, self._names) for attributes in matches
            ]
        if last is not None:
            names = dict.fromkeys([*self.table.keys, self.index.hash_name, self.index.range_name])
            answer["LastEvaluatedKey"] = {name: last[name] for name in names if name is not None}
        return answer


def projected_names(call: Call, names: Names) -> tuple[str, ...] | None:
    """Return the placeholders of a call's projection, or None without one. Raises Unsupported."""
    text = call.get("ProjectionExpression")
    if text is None:
        return None
    placeholders = projection_of(text)
    if not set(placeholders) <= set(names) or len(set(placeholders)) < len(placeholders):
        raise Unsupported
    return placeholders


def projected(
    attributes: Attributes, placeholders: tuple[str, ...] | None, names: Names
) -> Attributes:
    """Return a copy of an item with only the attributes of a projection."""
    if placeholders is None:
        return dict(attributes)
    projected_names = (names[placeholder] for placeholder in placeholders)
    return {name: attributes[name] for name in projected_names if name in attributes}
