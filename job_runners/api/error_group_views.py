"""Show error groups to callers.

Failed jobs are in the same error group if they have the same job type, and the same kind of error
in the same function.
"""

from job_runners import clock
from job_runners.api.access import visible_author, visible_code
from job_runners.api.json_schema import AUTHOR, ID, NUMBER, TEXT, TIME, Field, Fields, nullable
from job_runners.store.error_groups import ErrorGroup

_NEW_FOR = clock.DAY


def _state(group: ErrorGroup) -> str:
    """Return the state of a group. It has regressed if a job failed after it was resolved."""
    if group.resolved_at is not None:
        return "resolved"
    if group.regressed_at is not None:
        return "regressed"
    age = clock.now() - group.first_seen_at
    return "new" if age < _NEW_FOR else "known"


ERROR_GROUP: Fields[ErrorGroup] = {
    "id": Field(ID),
    "job_type": Field(TEXT),
    "error_kind": Field(TEXT),
    "frame": Field(
        nullable(TEXT),
        lambda group: visible_code(group.frame),
        "The innermost function of your own code, as `module:function`. Only operators and "
        "services see it",
    ),
    "state": Field(
        {"type": "string", "enum": ["new", "known", "resolved", "regressed"]},
        _state,
        "`new` for a day. `regressed` if it failed again after it was resolved",
    ),
    "failures": Field(NUMBER, about="The approximate number of failures"),
    "first_seen_at": Field(TIME),
    "last_seen_at": Field(TIME),
    "first_build": Field(
        nullable(TEXT),
        lambda group: visible_code(group.first_build),
        "A hash of the build that saw the first failure. Only operators and services see it",
    ),
    "sample_job_id": Field(ID, about="A recent job"),
    "note": Field(nullable(TEXT)),
    "resolved_at": Field(nullable(TIME)),
    "resolved_by": Field(AUTHOR, lambda group: visible_author(group.resolved_by)),
    "regressed_at": Field(nullable(TIME)),
}
