"""What is refused about a request itself: errors that exist only over HTTP, with their status."""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from errors import JobRunnersError


class Refusal(JobRunnersError):
    """A request that can't be served as it was made. `problems` names the fields that are wrong."""

    status: ClassVar[int] = 400
    slug: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, why: str, problems: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(why)
        self.problems = problems
        self.headers: dict[str, str] = {}


class UnreadableBody(Refusal):
    """The body is not JSON that can be kept and passed on unchanged."""

    slug = "unreadable-body"
    title = "The body can't be read"


class FormBody(Refusal):
    """The body is what a browser makes of a form."""

    status = 415
    slug = "form-body"
    title = "The body is a form, not JSON"

    def __init__(self) -> None:
        super().__init__("send the body as JSON, with Content-Type: application/json")
        self.headers = {"Accept-Post": "application/json"}


class InvalidFields(Refusal):
    """The body is JSON, but not what this request takes."""

    status = 422
    slug = "invalid-request"
    title = "The request has fields that are wrong"

    def __init__(self, problems: Sequence[Mapping[str, str]]) -> None:
        super().__init__(f"{problems[0]['field']}: {problems[0]['why']}", problems)


class InvalidQuery(Refusal):
    """A query parameter that is unknown, missing, repeated or has a value that can't be used."""

    slug = "invalid-query"
    title = "The query parameters can't be used"

    def __init__(self, parameter: str, why: str) -> None:
        super().__init__(f"{parameter}: {why}", [{"field": parameter, "why": why}])


class NotAllowed(Refusal):
    """The caller is known, and may not do this."""

    status = 403
    slug = "not-allowed"
    title = "This caller may not do this"


class PathNotFound(Refusal):
    """Nothing answers at this path."""

    status = 404
    slug = "path-not-found"
    title = "There is nothing at this path"

    def __init__(self) -> None:
        super().__init__("there is nothing at this path; GET /job-types lists what can be done")


class MethodNotAllowed(Refusal):
    """The path has other methods."""

    status = 405
    slug = "method-not-allowed"
    title = "The path does not take this method"

    def __init__(self, allowed: Iterable[str]) -> None:
        methods = ", ".join(sorted(allowed))
        super().__init__(f"this path takes {methods}")
        self.headers = {"Allow": methods}


class LogsNotReadable(Refusal):
    """This API can't read what the worker logs."""

    status = 404
    slug = "logs-not-readable"
    title = "The log can't be read from here"

    def __init__(self, why: str) -> None:
        super().__init__(f"this API can't show the log: {why}; `jobs logs` may be able to")
