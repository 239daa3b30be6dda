"""The logs of the local functions. The oldest lines are dropped."""

import itertools
import json
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

MOST_LINES = 20_000  # that one log group keeps
_PAGE = 10_000  # events in one answer, as in CloudWatch
_MOST_BYTES = 5_000_000  # of their text, so that an answer is made quickly

Line = tuple[int, int, str]
"""The number of a line, the time in milliseconds since 1970, and the text."""


class LogGroups:
    """Lines by log group, and CloudWatch's search in them."""

    def __init__(self, groups: Iterable[str]) -> None:
        self.lines: dict[str, deque[Line]] = {each: deque(maxlen=MOST_LINES) for each in groups}
        self._numbers = itertools.count(1)

    def write(self, group: str, texts: Iterable[str], time_ms: int | None = None) -> None:
        """Append lines, now or with the time that they had."""
        now = int(time.time() * 1000) if time_ms is None else time_ms
        self.lines[group].extend((next(self._numbers), now, text) for text in texts)

    def filter(self, call: dict[str, Any]) -> dict[str, Any] | None:
        """Answer FilterLogEvents. Return None for an unknown log group.

        A pattern is a text in quotes, or words that must all occur.
        """
        lines = self.lines.get(call.get("logGroupName") or call.get("logGroupIdentifier") or "")
        if lines is None:
            return None
        first, last = call.get("startTime", 0), call.get("endTime", 2**63)
        wanted = _texts(call.get("filterPattern") or "")
        after, limit = int(call.get("nextToken") or 0), min(call.get("limit", _PAGE), _PAGE)
        events: list[dict[str, Any]] = []
        size = 0
        for number, time_ms, text in lines:
            if number <= after or not first <= time_ms < last:
                continue
            if all(each in text for each in wanted):
                if len(events) == limit or size > _MOST_BYTES:
                    return {"events": events, "nextToken": events[-1]["eventId"]}
                size += len(text)
                event = {"timestamp": time_ms, "ingestionTime": time_ms, "message": text}
                events.append({"logStreamName": "local", "eventId": str(number), **event})
        return {"events": events}


def _texts(pattern: str) -> list[str]:
    if pattern.startswith('"') and pattern.endswith('"') and len(pattern) > 1:
        try:
            return [str(json.loads(pattern))]
        except ValueError:
            return [pattern[1:-1]]
    return pattern.split()
