"""The page on which a person answers a job's question.

The job sends the person a link to the page. The page shows the question with a button for each
choice and, once there is an answer, the answer. It has no script, and works without credentials and
cookies.
"""

import re
from collections.abc import Sequence
from html import escape

from job_runners.api.responses import Response
from job_runners.dashboard import files
from job_runners.settings import settings

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
# Every response of the route has these headers. They keep the secret token in the link's path from
# caches, other pages and other sites.
HEADERS = {
    **files.SECURITY_HEADERS,
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
}

_BIDIRECTIONAL_CONTROLS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

_MAX_TITLE_LENGTH = 120  # characters; a longer first line is shown as a paragraph

# The form has no action, so it is sent to the page's own address.
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{browser_title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="stylesheet" href="../assets/{version}/answer.css"></head>
<body><main>{team}<h1>{title}</h1>{content}</main></body></html>
"""


def question_page(text: str, choices: Sequence[str]) -> Response:
    """Return the page on which to answer a question, with a button for each choice.

    Its title is the first line of the text. If there are no choices, only a program can answer.
    """
    if not choices:
        note = "A program answers this. It sends a JSON value to this address with POST."
        return _page_with_question(text, _paragraph(note))
    buttons = (
        f'<button name="choice" value="{escape(choice)}">{_to_html(choice)}</button>'
        for choice in choices
    )
    return _page_with_question(text, f'<form method="post">{"".join(buttons)}</form>')


def answered_page(text: str, choice: str | None) -> Response:
    """Return the page of an answered question. `choice` is the answer, or None if it wasn't one of
    the link's choices."""
    answer = "This has been answered." if choice is None else f"The answer is: {choice}"
    return _page_with_question(text, f'<p class="given">{_to_html(answer)}</p>')


def problem_page(status: int, title: str, detail: str) -> Response:
    """Return the page for an error, such as an answer that comes too late."""
    return _page(status, title, [_paragraph(detail)])


def _page_with_question(text: str, content: str) -> Response:
    title, _, rest = text.strip().partition("\n")
    if len(title) > _MAX_TITLE_LENGTH:
        title = "Your answer"
        rest = text
    paragraphs = map(_paragraph, rest.split("\n")) if rest else ()
    return _page(200, title, [*paragraphs, content])


def _page(status: int, title: str, content: Sequence[str]) -> Response:
    team = settings().team_name
    body = _PAGE.format(
        browser_title=_to_html(f"{title} \u00b7 {team}" if team else title),
        title=_to_html(title),
        team=f'<p class="team">{_to_html(team)}</p>' if team else "",
        version=files.version(),
        content="".join(content),
    )
    return Response(status, "text/html; charset=utf-8", body)


def _paragraph(text: str) -> str:
    return f"<p>{_to_html(text)}</p>"


def _to_html(text: str) -> str:
    """Return text as HTML. Replace the control characters for bidirectional text, because they
    could make it look like a different text."""
    return escape(_BIDIRECTIONAL_CONTROLS.sub("\ufffd", text))
