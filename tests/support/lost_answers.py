"""Answers of DynamoDB that are lost on their way: botocore sends the call again."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from job_runners.aws import clients

_CONFLICT: Any = {
    "Error": {"Code": "TransactionCanceledException", "Message": "canceled"},
    "CancellationReasons": [{"Code": "TransactionConflict"}],
    "ResponseMetadata": {"HTTPStatusCode": 400},
}


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


def land_in_conflict(monkeypatch: Any, tries: int) -> None:
    """Have the next transaction land without an answer, and the tries after it conflict with
    another write, as while the first is still under way."""
    client, left = clients.client("dynamodb"), [tries]
    real = client._make_api_call

    def call(operation: str, arguments: Any) -> Any:
        if operation != "TransactWriteItems" or not left[0]:
            return real(operation, arguments)
        if left[0] == tries:
            real(operation, arguments)
        left[0] -= 1
        raise ClientError(_CONFLICT, operation)

    monkeypatch.setattr(client, "_make_api_call", call)
