"""Errors in a request itself. Only the HTTP API raises them, and each has an HTTP status."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from job_runners.errors import JobRunnersError


class Refusal(JobRunnersError):
    """A request is refused. `problems` lists its wrong fields."""

    status: ClassVar[int] = 400
    slug: ClassVar[str]
    title: ClassVar[str]
    max_problems: ClassVar[int] = 20  # in the response

    def __init__(self, why: str, problems: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(why)
        self.problems = problems
        self.headers: dict[str, str] = {}


class UnreadableBody(Refusal):
    """The body isn't JSON that can be stored and passed on unchanged."""

    slug = "unreadable-body"
    title = "The body can't be read"


class FormBody(Refusal):
    """The body is an HTML form."""

    status = 415
    slug = "form-body"
    title = "The body is a form, not JSON"

    def __init__(self) -> None:
        super().__init__("Send the body as JSON, with Content-Type: application/json.")
        self.headers = {"Accept-Post": "application/json"}


class InvalidFields(Refusal):
    """The body is JSON with wrong fields."""

    status = 422
    slug = "invalid-request"
    title = "The request has invalid fields"

    def __init__(self, problems: Sequence[Mapping[str, str]]) -> None:
        first = problems[0]
        super().__init__(f"The field {first['field']} is invalid: {first['why']}.", problems)


class InvalidField(InvalidFields):
    """The body is JSON with one wrong field. An empty `field` stands for the whole object."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__([{"field": field, "why": why}])


class InvalidJobs(Refusal):
    """Some of the jobs of a request are invalid, so none was dispatched. Each problem has the index
    of its job."""

    status = 422
    slug = "invalid-jobs"
    title = "Some of the jobs are invalid"
    max_problems = 1_000

    def __init__(self, problems: Sequence[Mapping[str, Any]]) -> None:
        count = len({problem["index"] for problem in problems})
        first = problems[0]
        super().__init__(
            f"{count:,} of the jobs are invalid, so none was dispatched. The first problem is "
            f"{first['field']}: {first['why']}.",
            problems,
        )


class InvalidMembers(Refusal):
    """Some members of a batch are invalid, so the batch was not saved. Each problem has the `index`
    of its member, or the member's `line` in the file."""

    status = 422
    slug = "invalid-members"
    title = "Some of the members are invalid"
    max_problems = 1_000

    def __init__(self, problems: Sequence[Mapping[str, Any]], count: int) -> None:
        first = problems[0]
        place = first["field"]
        if "line" in first:
            place = f"line {first['line']}, {place}" if place else f"line {first['line']}"
        super().__init__(
            f"{count:,} of the members are invalid, so nothing was dispatched. The first problem "
            f"is {place}: {first['why']}.",
            problems,
        )


class InvalidQuery(Refusal):
    """A query parameter is unknown, missing, repeated or invalid. In the message, `why` follows the
    parameter's name."""

    slug = "invalid-query"
    title = "The query parameters are invalid"

    def __init__(self, parameter: str, why: str) -> None:
        problem = {"field": parameter, "why": why}
        super().__init__(f"The query is invalid: {parameter} {why}.", [problem])


class NotAllowed(Refusal):
    """The caller may not do this."""

    status = 403
    slug = "not-allowed"
    title = "You may not do this"


class PathNotFound(Refusal):
    """No route has this path."""

    status = 404
    slug = "path-not-found"
    title = "Nothing exists at this path"

    def __init__(self) -> None:
        super().__init__("Nothing exists at this path. GET /openapi.json lists the API.")


class MethodNotAllowed(Refusal):
    """The path exists, but not with this method."""

    status = 405
    slug = "method-not-allowed"
    title = "The path doesn't have this method"

    def __init__(self, allowed: Iterable[str]) -> None:
        methods = ", ".join(sorted(allowed))
        super().__init__(f"This path has the methods {methods}.")
        self.headers = {"Allow": methods}


class LogsNotReadable(Refusal):
    """This API can't read the worker's log. `why` is a clause without a final period."""

    status = 404
    slug = "logs-not-readable"
    title = "The API can't read the log"

    def __init__(self, why: str) -> None:
        super().__init__(f"The API can't show the log, because {why}. Try `job-runners logs`.")
