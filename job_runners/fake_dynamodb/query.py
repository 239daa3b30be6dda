"""Check a call of DynamoDB's Query, and build its answer.

A query examines the items of one partition in order, optionally only those in a range of sort keys.
The filter then removes items from the answer. An entry is what a partition is sorted by. It is an
item's sort key and, in an index, also its table's key.
"""

from job_runners.fake_dynamodb.checks import Call, RequestRefused
from job_runners.fake_dynamodb.expressions import (
    Attributes,
    KeyCondition,
    Names,
    Unsupported,
    Values,
    compile_condition,
    compile_key_condition,
    parse_projection,
)
from job_runners.fake_dynamodb.tables import Entry, Item, Overlay, Range, Table


class Query:
    """A query of a table or of one of its indexes."""

    def __init__(self, table: Table, call: Call) -> None:
        """Check the call. Raises Unsupported and RequestRefused."""
        self.table = table
        index_name = call.get("IndexName")
        if index_name is not None and index_name not in table.indexes:
            raise Unsupported
        self.index = table.indexes[index_name] if index_name else table.partitions
        self.consistent: bool = call.get("ConsistentRead", False)
        self.limit: int | None = call.get("Limit")
        self._forward: bool = call.get("ScanIndexForward", True)
        self._is_count = call.get("Select") == "COUNT"
        if (index_name and self.consistent) or self.limit == 0:
            raise Unsupported
        if call.get("Select") not in (None, "COUNT") or "KeyConditionExpression" not in call:
            raise Unsupported
        self._names: Names = call.get("ExpressionAttributeNames", {})
        self._values: Values = call.get("ExpressionAttributeValues", {})
        key_condition = compile_key_condition(call["KeyConditionExpression"])
        filter_text = call.get("FilterExpression")
        self._filter = None if filter_text is None else compile_condition(filter_text)
        self._projection = read_projection(call, self._names)
        if self._is_count and self._projection:
            raise Unsupported
        used_names = {*key_condition.names, *(self._projection or ())}
        used_values = set(key_condition.values)
        if self._filter:
            used_names |= self._filter.names
            used_values |= self._filter.values
        # The call must use exactly the placeholders that it defines.
        if set(self._names) != used_names or set(self._values) != used_values:
            raise Unsupported
        hash_name = key_condition.hash_name
        if self._names.get(hash_name, hash_name) != self.index.hash_name:
            raise Unsupported
        hash_value = self._values[key_condition.hash_value]
        self._partition = table.key_value(self.index.hash_name, hash_value)
        self._range = self._selected_range(key_condition)
        start_key = call.get("ExclusiveStartKey")
        self._after = None if start_key is None else self._start_entry(start_key)

    def _selected_range(self, condition: KeyCondition) -> Range | None:
        """Return the range of sort keys that the call selects, or None for the whole partition."""
        comparison = condition.comparison
        if condition.range_name is None or comparison is None:
            return None
        range_name = self.index.range_name
        name = condition.range_name
        if range_name is None or self._names.get(name, name) != range_name:
            raise Unsupported
        values = [self._values[placeholder] for placeholder in condition.bounds]
        bounds = tuple(self.table.key_value(range_name, value) for value in values)
        if comparison == "BETWEEN" and bounds[0] > bounds[1]:
            raise RequestRefused(  # moto returns an empty result
                "ValidationException",
                "Invalid KeyConditionExpression: The BETWEEN operator requires upper bound to be "
                f"greater than or equal to lower bound; lower bound operand: AttributeValue: "
                f"{values[0]}, upper bound operand: AttributeValue: {values[1]}",
            )
        if comparison == "begins_with" and self.table.kinds[range_name] != "S":
            raise Unsupported
        return Range(comparison, bounds)

    def _start_entry(self, start_key: Attributes) -> Entry:
        """Return the entry after which the page starts. Raises Unsupported for a wrong key."""
        key = self.table.key_of(start_key)
        position = self.table.position(self.index, key, Item(start_key))
        if position is None or set(start_key) != set(self._key_names()):
            raise Unsupported
        partition, entry = position
        if partition != self._partition:
            raise Unsupported
        return entry

    def _key_names(self) -> list[str]:
        """Return the names of the table's and the index's key attributes."""
        names = dict.fromkeys([*self.table.keys, self.index.hash_name, self.index.range_name])
        return [name for name in names if name is not None]

    def select(self, overlay: Overlay) -> tuple[list[Item], bool]:
        """Return the items that the query examines, and whether the partition has more."""
        return self.table.select(
            self.index,
            self._partition,
            self._range,
            after=self._after,
            forward=self._forward,
            limit=self.limit,
            overlay=overlay,
        )

    def read_from_index(self, attributes: Attributes) -> Attributes:
        """Return a copy of an item with only the attributes that the index has."""
        names = self.index.projected
        if names is None:
            return dict(attributes)
        return {name: attributes[name] for name in names if name in attributes}

    def matches(self, attributes: Attributes) -> bool:
        """Return whether an item matches the filter."""
        return self._filter is None or self._filter.holds(attributes, self._names, self._values)

    def answer(
        self, matches: list[Attributes], examined_count: int, last: Attributes | None
    ) -> Call:
        """Return the answer. `last` is the last examined item, or None if there is no next page."""
        answer: Call = {"Count": len(matches), "ScannedCount": examined_count}
        if not self._is_count:
            answer["Items"] = [
                project(attributes, self._projection, self._names) for attributes in matches
            ]
        if last is not None:
            answer["LastEvaluatedKey"] = {name: last[name] for name in self._key_names()}
        return answer


def read_projection(call: Call, names: Names) -> tuple[str, ...] | None:
    """Return the placeholders of a call's projection, or None without one. Raises Unsupported."""
    text = call.get("ProjectionExpression")
    if text is None:
        return None
    placeholders = parse_projection(text)
    if not set(placeholders) <= set(names) or len(set(placeholders)) < len(placeholders):
        raise Unsupported
    return placeholders


def project(
    attributes: Attributes, placeholders: tuple[str, ...] | None, names: Names
) -> Attributes:
    """Return a copy of an item with only the attributes of a projection."""
    if placeholders is None:
        return dict(attributes)
    projected_names = (names[placeholder] for placeholder in placeholders)
    return {name: attributes[name] for name in projected_names if name in attributes}
