"""What jobs and steps return: JSON, and nothing that would look different once it was kept."""

import json
from typing import Any

from store import blobs
from work.errors import ResultNotJson


def as_json(result: Any) -> Any:
    """Return the result as it will be read again: JSON; a pydantic model as its fields. Raises
    ResultNotJson."""
    from pydantic import BaseModel  # loaded with the job, and not before

    if isinstance(result, BaseModel):
        result = result.model_dump(mode="json")
    try:
        return json.loads(blobs.compact_json(result))
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultNotJson(str(error)) from error
