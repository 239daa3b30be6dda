"""Convert the results of jobs and steps to JSON, so that they look the same after a read."""

import json
from typing import Any

from job_runners.store import blobs
from job_runners.work.errors import ResultNotJson


def as_json(result: Any) -> Any:
    """Return the result as a later read returns it: as JSON values. A pydantic model becomes its
    fields. Raises ResultNotJson."""
    from pydantic.main import (
        BaseModel,  # costs nothing here: the job's module has already loaded it
    )

    if isinstance(result, BaseModel):
        result = result.model_dump(mode="json")
    try:
        return json.loads(blobs.compact_json(result))
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultNotJson(str(error)) from error
