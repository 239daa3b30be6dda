"""The endpoints of the links with which people and other systems answer a job.

They are open: the token in the path is the caller's only proof. So a token must not get into a log
or a trace, and a response says nothing about the job except the question and its answer.
"""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from job_runners import runners
from job_runners.api import body, problems
from job_runners.api.errors import InvalidFields
from job_runners.api.responses import Response, respond
from job_runners.work import context

if TYPE_CHECKING:
    from job_runners.store.answer_links import AnswerLink

# The functions import the other modules that they need when they run, because few requests are
# about links.

Event = Mapping[str, Any]


def get_answer(event: Event, token: str) -> Response:
    """Show the question of a link with its choices, or its answer. This changes nothing, because
    mail scanners and previews open links."""

    def show() -> Response:
        from job_runners.engine.control import answering

        return _page_of(answering.find(token))

    return _respond(event, show, as_page=True)


def answer_question(event: Event, token: str) -> Response:
    """Answer the question of a link. Send `choice`, in JSON or as a form, if the question has
    choices, and otherwise any JSON value. The first answer counts."""
    as_page = "text/html" in (body.header(event, "accept") or "")

    def answer() -> Response:
        from job_runners.engine.control import answering

        link = answering.find(token)
        context.author.set(context.Author("link", link.name))
        answering.answer(link, _value(event, link), runners.sender())
        return _page_of(link) if as_page else respond(200, {"status": "answered"})

    return _respond(event, answer, as_page=as_page)


def _respond(event: Event, call: Callable[[], Response], *, as_page: bool) -> Response:
    from job_runners.api import answer_page

    try:
        response = call()
    except Exception as error:  # noqa: BLE001 - a browser gets a page for any error
        response = problems.answer(error)
        if as_page:
            problem = json.loads(str(response.body))
            retry = {name: each for name, each in response.headers.items() if name == "Retry-After"}
            response = answer_page.problem(
                response.status_code, problem["title"], problem["detail"]
            )
            response.headers |= retry
    response.headers |= answer_page.HEADERS
    _forget_token(event)
    return response


def _page_of(link: "AnswerLink") -> Response:
    """Return the page of a link. Raises LinkOver."""
    from job_runners.api import answer_page
    from job_runners.engine.control import answering

    found = answering.find_answer(link)
    if found is None:
        return answer_page.question(link.text, link.choices)
    # Without choices, the value may be for the job alone.
    value = found.result if link.choices else None
    return answer_page.answered(link.text, value if value in link.choices else None)


def _value(event: Event, link: "AnswerLink") -> Any:
    """Return the answer in a request's body. Raises UnreadableBody, FormBody, PayloadTooLarge, and
    InvalidFields for another choice or another field."""
    if not link.choices:
        return body.read_value(event)
    fields = body.read_form(event)
    choice = fields.pop("choice", None)
    if choice not in link.choices:
        known = ", ".join(map(repr, link.choices))
        raise InvalidFields([{"field": "choice", "why": f"must be one of {known}"}])
    for each in fields:
        raise InvalidFields([{"field": each, "why": "is unknown"}])
    return choice


def _forget_token(event: Event) -> None:
    """Remove the token from the event. An OpenTelemetry layer records the event's path after the
    function has returned."""
    changeable = cast("dict[str, Any]", event)  # other endpoints only read it
    event["requestContext"]["http"]["path"] = changeable["rawPath"] = "/answers/{token}"
    changeable.pop("pathParameters", None)
