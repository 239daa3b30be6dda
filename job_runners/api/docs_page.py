"""Render the OpenAPI document as a page of HTML, without a script.

Powertools' Swagger UI is an inline script, which a strict content security policy blocks.
"""

import json
from collections.abc import Iterator
from html import escape
from typing import Any

from job_runners.api.responses import Response
from job_runners.dashboard import files

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="stylesheet" href="{style}"></head>
"""


def page(document: dict[str, Any]) -> Response:
    """Return the page of this document."""
    return Response(
        status_code=200,
        content_type="text/html; charset=utf-8",
        headers={
            **files.SECURITY,
            "Content-Security-Policy": _POLICY,
            "Cache-Control": "no-store",
        },
        body="".join(_html(document)),
    )


def _html(document: dict[str, Any]) -> Iterator[str]:
    info, components = document["info"], document["components"]
    title = f"{_text(info['title'])} API"
    yield _HEAD.format(title=title, style=f"assets/{files.version()}/docs.css")
    yield f"<body><main><h1>{title}</h1><p>{_prose(info['description'])}</p>"
    yield '<p>For programs: <a href="openapi.json">openapi.json</a></p><h2>Callers</h2><dl>'
    for name, scheme in components["securitySchemes"].items():
        yield f"<dt>{_text(name)}</dt><dd>{_prose(scheme['description'])}</dd>"
    yield "</dl><h2>Requests</h2>"
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield from _operation(method, path, operation)
    yield "<h2>Schemas</h2>"
    for name, schema in sorted(components["schemas"].items()):
        yield f'<h3 id="{_text(name)}">{_text(name)}</h3><pre tabindex="0">{_json(schema)}</pre>'
    yield "</main></body></html>"


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<section><h3>{method.upper()} <code>{_text(path)}</code></h3>"
    yield f"<p>{_prose(operation['description'])} <small>{_callers(operation)}</small></p>"
    body = operation.get("requestBody")
    if body:
        for kind, content in body["content"].items():
            optional = "" if body["required"] else " (optional)"
            yield f"<p>Body: {_text(kind)}, {_schema(content['schema'])}{optional}</p>"
    if operation["parameters"]:
        yield "<table><thead><tr><th>Parameter</th><th>In</th><th>Value</th></tr></thead><tbody>"
        for each in operation["parameters"]:
            required = " (required)" if each["required"] else ""
            schema = _text(json.dumps(each["schema"]))
            value = f"{_prose(each.get('description', ''))} <code>{schema}</code>"
            yield f"<tr><td><code>{_text(each['name'])}</code>{required}</td>"
            yield f"<td>{each['in']}</td><td>{value}</td></tr>"
        yield "</tbody></table>"
    yield "<table><thead><tr><th>Status</th><th>Meaning</th><th>Content</th></tr></thead><tbody>"
    for status, answer in operation["responses"].items():
        contents = [
            f"{_text(kind)} {_schema(content['schema'])}"
            for kind, content in answer.get("content", {}).items()
        ]
        yield f"<tr><td>{status}</td><td>{_prose(answer['description'])}</td>"
        yield f"<td>{'<br>'.join(contents)}</td></tr>"
    yield "</tbody></table></section>"


def _callers(operation: dict[str, Any]) -> str:
    if not operation["security"]:
        return "Open to all."
    roles = [role for each in operation["security"] for names in each.values() for role in names]
    return f"Lowest role: {_text(', '.join(roles))}." if roles else "Signed."


def _schema(schema: dict[str, Any]) -> str:
    """Return a link to a named schema, or an empty text if the schema has no name."""
    name = _text(schema.get("$ref", "").rpartition("/")[2])
    return f'<a href="#{name}">{name}</a>' if name else ""


def _prose(text: str) -> str:
    """Return text as HTML, with words in `backticks` as code."""
    parts = text.split("`")
    return "".join(
        f"<code>{_text(part)}</code>" if number % 2 else _text(part)
        for number, part in enumerate(parts)
    )


def _json(value: Any) -> str:
    return _text(json.dumps(value, indent=2, ensure_ascii=False))


def _text(text: str) -> str:
    return escape(text, quote=True)
