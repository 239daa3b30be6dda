"""The payload of a job that calls a task: checked arguments, and a signature."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from django.core.signing import BadSignature, Signer
from django.tasks import Task
from django.tasks.exceptions import InvalidTask
from django.utils.json import normalize_json

from job_runners.errors import PayloadTooLarge

# Bytes of JSON. The API accepts a body that is a little larger.
LIMIT = 2_500_000

_signer = partial(Signer, salt="job_runners.django")
# The fields that decide what is called.
_SIGNED = ("task", "args", "keywords", "backend")


def call_of(
    task: Task, args: Sequence[Any], kwargs: Mapping[str, Any], *, sign: bool
) -> dict[str, Any]:
    """Return the payload of a job that calls a task.

    Raises TypeError and ValueError for arguments that JSON can't hold, and PayloadTooLarge.
    """
    arguments = {"args": normalize_json(list(args)), "keywords": normalize_json(dict(kwargs))}
    size = size_of(arguments, f"The arguments of {task.module_path}")
    if size > LIMIT:
        advice = "Pass the id of a row or the name of a file instead."
        raise PayloadTooLarge(f"The call of {task.module_path}", size, LIMIT, advice)
    call = {"task": task.module_path, **arguments, "backend": task.backend}
    signature = {"signature": _signer().signature(_signed_text(call))} if sign else {}
    deferred = task.run_after is not None
    return {**call, "queue": task.queue_name, "deferred": deferred, **signature}


def check_signature(call: Mapping[str, Any]) -> None:
    """Raise InvalidTask for a call that no process with the SECRET_KEY has signed."""
    try:
        _signer().unsign(f"{_signed_text(call)}:{call.get('signature')}")
    except BadSignature:
        raise InvalidTask(
            f"The call of {call.get('task')} isn't signed with this worker's SECRET_KEY, or was "
            "changed. Use the same SECRET_KEY in the site and in the worker. While you rotate it, "
            "keep the old one in SECRET_KEY_FALLBACKS."
        ) from None


def size_of(value: Any, what: str) -> int:
    """Return the bytes of a value as JSON. Raises TypeError and ValueError if JSON would change the
    value or can't hold it."""
    try:
        text = json.dumps(value, allow_nan=False)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{what} have half of a surrogate pair, which is no text.") from None
    except ValueError as error:
        raise ValueError(f"{what} have a number that JSON can't hold: {error}") from None
    if json.loads(text) != value:
        raise TypeError(f"{what} have a dict whose keys aren't text. JSON has only text as keys.")
    return len(text)


def _signed_text(call: Mapping[str, Any]) -> str:
    return json.dumps([call.get(name) for name in _SIGNED], sort_keys=True)
