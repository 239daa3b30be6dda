"""Build and verify calls. A call is a job's payload: the path of a task, and its arguments.

The site signs a call with SECRET_KEY, so that only processes that have the key can call tasks.
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

_MAX_JSON_BYTES = 2_500_000  # slightly less than the API accepts as a request's body

_signer = partial(Signer, salt="job_runners.django")
_SIGNED_FIELDS = ("task", "args", "keywords", "backend")  # these decide which code runs


def build_call(
    task: Task, args: Sequence[Any], kwargs: Mapping[str, Any], *, sign: bool
) -> dict[str, Any]:
    """Return the payload of a job that calls the task.

    Raises TypeError or ValueError if JSON can't represent an argument, or PayloadTooLarge.
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
    """Raise InvalidTask unless the call was signed with this process's SECRET_KEY."""
    try:
        _signer().unsign(f"{_signed_text(call)}:{call.get('signature')}")
    except BadSignature:
        raise InvalidTask(
            f"The call of {call.get('task')} isn't signed with this worker's SECRET_KEY, or was "
            "changed. Use the same SECRET_KEY in the site and in the worker. While you rotate it, "
            "keep the old one in SECRET_KEY_FALLBACKS."
        ) from None


def to_json_values(value: Any, what: str, advice: str) -> Any:
    """Convert a value to JSON types, as Django's own backends do.

    `what` names the value in error messages. Raises TypeError or ValueError if JSON would change
    the value or can't represent it, or PayloadTooLarge with this advice.
    """
    try:
        normalized = normalize_json(value)
        text = json.dumps(normalized, allow_nan=False)
        json.dumps(normalized, ensure_ascii=False).encode()  # fails for a lone surrogate
    except RecursionError:
        raise ValueError(f"{what} has a value that is nested too deeply or in itself.") from None
    except UnicodeEncodeError:
        raise ValueError(f"{what} has half of a surrogate pair, which is no text.") from None
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{what} has a value that JSON can't hold: {error}") from None
    if json.loads(text) != normalized:
        raise TypeError(f"{what} has a dict whose keys aren't text. JSON has only text as keys.")
    if len(text) > _MAX_JSON_BYTES:
        raise PayloadTooLarge(what, len(text), _MAX_JSON_BYTES, advice)
    return normalized


def _signed_text(call: Mapping[str, Any]) -> str:
    return json.dumps([call.get(name) for name in _SIGNED_FIELDS], sort_keys=True)
