"""The page of a link, on which a person answers a job: a text, a button for each choice, and later
the answer. It has no script, and works without credentials and cookies."""

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
# For every response of the route. No cache, other page or log of another site gets the token.
HEADERS = {
    **files.SECURITY,
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
}

_BIDIRECTIONAL = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

_LONGEST_TITLE = 120  # a longer first line is a paragraph

# The form has no action, so it is sent to the page's own address.
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{head}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="stylesheet" href="../assets/{version}/answer.css"></head>
<body><main>{team}<h1>{title}</h1>{content}</main></body></html>
"""


def question(text: str, choices: Sequence[str]) -> Response:
    """Return the page of a question that takes an answer. Its title is the text's first line."""
    if not choices:
        note = "A program answers this. It sends a JSON value to this address with POST."
        return _page_about(text, _paragraph(note))
    buttons = (
        f'<button name="choice" value="{escape(each)}">{_shown(each)}</button>' for each in choices
    )
    return _page_about(text, f'<form method="post">{"".join(buttons)}</form>')


def answered(text: str, choice: str | None) -> Response:
    """Return the page of a question that has an answer. `choice` is the answer, if it was one of
    the link's choices."""
    given = "This has been answered." if choice is None else f"The answer is: {choice}"
    return _page_about(text, f'<p class="given">{_shown(given)}</p>')


def problem(status: int, title: str, detail: str) -> Response:
    """Return the page of a link that doesn't take this answer."""
    return _page(status, title, [_paragraph(detail)])


def _page_about(text: str, content: str) -> Response:
    title, _, rest = text.strip().partition("\n")
    if len(title) > _LONGEST_TITLE:
        title, rest = "Your answer", text
    paragraphs = map(_paragraph, rest.split("\n")) if rest else ()
    return _page(200, title, [*paragraphs, content])


def _page(status: int, title: str, content: Sequence[str]) -> Response:
    team = settings().team_name
    body = _PAGE.format(
        head=_shown(f"{title} \u00b7 {team}" if team else title),
        title=_shown(title),
        team=f'<p class="team">{_shown(team)}</p>' if team else "",
        version=files.version(),
        content="".join(content),
    )
    return Response(status, "text/html; charset=utf-8", body)


def _paragraph(text: str) -> str:
    return f"<p>{_shown(text)}</p>"


def _shown(text: str) -> str:
    """Return text as HTML. Bidirectional controls, which could make a text read like another one,
    are replaced."""
    return escape(_BIDIRECTIONAL.sub("\ufffd", text))
