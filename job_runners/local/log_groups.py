"""Keep the local functions' logs in memory, and search them as CloudWatch does."""

import itertools
import json
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

MAX_LINES = 20_000  # in one log group; the oldest lines are dropped
_MAX_EVENTS = 10_000  # in one response, as in CloudWatch
_MAX_CHARACTERS = 5_000_000  # in one response, so that it doesn't take long

Line = tuple[int, int, str]
"""The number of a line, the time in milliseconds since 1970, and the text."""


class LogGroups:
    """The lines of each log group."""

    def __init__(self, groups: Iterable[str]) -> None:
        self.lines: dict[str, deque[Line]] = {group: deque(maxlen=MAX_LINES) for group in groups}
        self._numbers = itertools.count(1)

    def write(self, group: str, texts: Iterable[str], time_ms: int | None = None) -> None:
        """Append lines, with the current time by default."""
        if time_ms is None:
            time_ms = int(time.time() * 1000)
        self.lines[group].extend((next(self._numbers), time_ms, text) for text in texts)

    def filter(self, call: dict[str, Any]) -> dict[str, Any] | None:
        """Return the response to FilterLogEvents, or None for an unknown log group.

        A filter pattern is a quoted phrase, or words that must all occur in a line.
        """
        lines = self.lines.get(call.get("logGroupName") or call.get("logGroupIdentifier") or "")
        if lines is None:
            return None
        start, end = call.get("startTime", 0), call.get("endTime", 2**63)
        phrases = _phrases(call.get("filterPattern") or "")
        last_number = int(call.get("nextToken") or 0)  # of the previous response
        limit = min(call.get("limit", _MAX_EVENTS), _MAX_EVENTS)
        events: list[dict[str, Any]] = []
        size = 0
        for number, time_ms, text in lines:
            if number <= last_number or not start <= time_ms < end:
                continue
            if all(phrase in text for phrase in phrases):
                if len(events) == limit or size > _MAX_CHARACTERS:
                    return {"events": events, "nextToken": events[-1]["eventId"]}
                size += len(text)
                event = {"timestamp": time_ms, "ingestionTime": time_ms, "message": text}
                events.append({"logStreamName": "local", "eventId": str(number), **event})
        return {"events": events}


def _phrases(pattern: str) -> list[str]:
    if pattern.startswith('"') and pattern.endswith('"') and len(pattern) > 1:
        try:
            return [str(json.loads(pattern))]
        except ValueError:
            return [pattern[1:-1]]
    return pattern.split()
