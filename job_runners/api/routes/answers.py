"""The endpoints of the links on which people and programs answer a job's question.

These routes need no credentials, because the token in the path proves that the caller has the link.
So a token must never get into a log or a trace, and responses contain nothing about the job except
the question and its answer.

The functions import most modules when they run, because few requests are about links.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from job_runners import runners
from job_runners.api import body, problems
from job_runners.api.access import Event
from job_runners.api.errors import InvalidField
from job_runners.api.responses import Response, respond
from job_runners.work import context

if TYPE_CHECKING:
    from job_runners.store.answer_links import AnswerLink


def get_answer(event: Event, token: str) -> Response:
    """Show the question of a link with its choices, or its answer. This changes nothing, because
    mail scanners and previews open links."""

    def show() -> Response:
        from job_runners.engine.control import signaling

        return _link_page(signaling.find_link(token))

    return _respond(event, show, as_page=True)


def answer_question(event: Event, token: str) -> Response:
    """Answer the question of a link. Send `choice`, in JSON or as a form, if the question has
    choices, and otherwise any JSON value. The first answer counts."""
    as_page = "text/html" in (body.header(event, "accept") or "")

    def answer() -> Response:
        from job_runners.engine.control import signaling

        link = signaling.find_link(token)
        context.author.set(context.Author("link", link.name))
        signaling.answer(link, _read_answer(event, link), runners.sender())
        return _link_page(link) if as_page else respond(200, {"status": "answered"})

    return _respond(event, answer, as_page=as_page)


def _respond(event: Event, endpoint: Callable[[], Response], *, as_page: bool) -> Response:
    """Return the endpoint's response, or its error as a page or as JSON. Keep the token secret."""
    from job_runners.api import answer_page

    try:
        response = endpoint()
    except Exception as error:  # noqa: BLE001 - a browser gets a page for any error
        response = problems.problem_response(error)
        if as_page:
            response = _problem_page(response)
    response.headers |= answer_page.HEADERS
    _remove_token(event)
    return response


def _problem_page(response: Response) -> Response:
    from job_runners.api import answer_page

    problem = json.loads(str(response.body))
    page = answer_page.problem_page(response.status_code, problem["title"], problem["detail"])
    retry_after = response.headers.get("Retry-After")
    if retry_after is not None:
        page.headers["Retry-After"] = retry_after
    return page


def _link_page(link: "AnswerLink") -> Response:
    """Return the page with a link's question, and its answer if there is one. Raises LinkOver."""
    from job_runners.api import answer_page
    from job_runners.engine.control import signaling

    answer = signaling.find_answer(link)
    if answer is None:
        return answer_page.question_page(link.text, link.choices)
    # Don't show an answer that isn't one of the choices. A program sent it, maybe only for the job
    # to see.
    choice = answer.result if answer.result in link.choices else None
    return answer_page.answered_page(link.text, choice)


def _read_answer(event: Event, link: "AnswerLink") -> Any:
    """Return the answer in a request's body. Raises UnreadableBody, FormBody and PayloadTooLarge.
    Raises InvalidFields if the choice isn't one of the link's, or if there are other fields."""
    if not link.choices:
        return body.read_value(event)
    fields = body.read_form(event)
    choice = fields.pop("choice", None)
    if choice not in link.choices:
        choices = ", ".join(map(repr, link.choices))
        raise InvalidField("choice", f"must be one of {choices}")
    if fields:
        raise InvalidField(next(iter(fields)), "is unknown")
    return choice


def _remove_token(event: Event) -> None:
    """Remove the token from the event, because an OpenTelemetry layer records the event's path
    after the Lambda function has returned."""
    writable_event = cast("dict[str, Any]", event)  # the type of events is read-only
    writable_event["requestContext"]["http"]["path"] = "/answers/{token}"
    writable_event["rawPath"] = "/answers/{token}"
    writable_event.pop("pathParameters", None)
