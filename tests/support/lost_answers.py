"""Answers of DynamoDB that are lost on their way: botocore sends the call again."""

from collections.abc import Callable
from typing import Any

from aws import clients


def lose_next_answer(name: str, happens: Callable[[], object] = lambda: None) -> list[str]:
    """Have the next call of this kind land without its response, and something happen before
    botocore sends it again. Returns what was lost."""
    lost: list[str] = []

    def lose(operation: Any, **_: Any) -> int | None:
        if lost or operation.name != name:
            return None
        lost.append(name)
        happens()
        return 0  # seconds until it is sent again

    clients.client("dynamodb").meta.events.register_first("needs-retry.dynamodb", lose)
    return lost
