"""Build and check the call of a task, which is the payload of the task's job.

The call is signed with SECRET_KEY, so that only a process that has the key can call tasks.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from django.core.signing import BadSignature, Signer
from django.tasks import Task
from django.tasks.exceptions import InvalidTask
from django.utils.json import normalize_json

from job_runners.errors import PayloadTooLarge

_MAX_BYTES = 2_500_000  # of JSON. The API accepts a body that is a little larger.

_signer = partial(Signer, salt="job_runners.django")
# The fields that determine which function is called, and how.
_SIGNED_FIELDS = ("task", "args", "keywords", "backend")


def build_call(
    task: Task, args: Sequence[Any], kwargs: Mapping[str, Any], *, sign: bool
) -> dict[str, Any]:
    """Return the payload of a job that calls a task.

    Raises TypeError and ValueError for arguments that JSON can't hold, and PayloadTooLarge.
    """
    arguments = to_json_values(
        {"args": [*args], "keywords": dict(kwargs)},
        f"The call of {task.module_path}",
        "Pass the id of a row or the name of a file instead.",
    )
    call = {"task": task.module_path, **arguments, "backend": task.backend}
    signature = {"signature": _signer().signature(_signed_text(call))} if sign else {}
    return {
        **call,
        "queue": task.queue_name,
        "deferred": task.run_after is not None,
        **signature,
    }


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


def to_json_values(value: Any, what: str, advice: str) -> Any:
    """Return a value as JSON's types, by Django's rules.

    `what` names the value in errors. Raises TypeError and ValueError if JSON would change the value
    or can't hold it, and PayloadTooLarge with this advice.
    """
    try:
        normalized = normalize_json(value)
        text = json.dumps(normalized, allow_nan=False)
        json.dumps(normalized, ensure_ascii=False).encode()  # finds half of a surrogate pair
    except RecursionError:
        raise ValueError(f"{what} has a value that is nested too deeply or in itself.") from None
    except UnicodeEncodeError:
        raise ValueError(f"{what} has half of a surrogate pair, which is no text.") from None
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{what} has a value that JSON can't hold: {error}") from None
    if json.loads(text) != normalized:
        raise TypeError(f"{what} has a dict whose keys aren't text. JSON has only text as keys.")
    if len(text) > _MAX_BYTES:
        raise PayloadTooLarge(what, len(text), _MAX_BYTES, advice)
    return normalized


def _signed_text(call: Mapping[str, Any]) -> str:
    return json.dumps([call.get(name) for name in _SIGNED_FIELDS], sort_keys=True)
