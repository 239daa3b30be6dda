"""The reference of the HTTP API, from the routes and the OpenAPI document that a stack serves."""

from collections.abc import Iterator
from typing import Any

from job_runners.api import openapi, problems
from job_runners.api.router import OPEN
from job_runners.api.routes.table import ROUTES

_COMMON = ("401", "403", "429")  # the gateway's answers, which the page explains once


def document() -> dict[str, Any]:
    """Return the document of a stack with the built-in jobs."""
    return openapi.document(ROUTES)


def page() -> str:
    """Return the page's Markdown."""
    return "\n".join([*_routes(document()), *_problems()]) + "\n"


def _routes(found: dict[str, Any]) -> Iterator[str]:
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            route = ROUTES[path.translate(str.maketrans("{}", "<>"))][method.upper()]
            role = "none" if route.role is OPEN else route.role.name.lower()
            yield f"### {method.upper()} {path}\n\n{operation['description']}\n"
            yield f"Role: {role}.\n"
            yield from _parameters(operation["parameters"])
            if body := operation.get("requestBody"):
                yield from _body(found, body)
            yield from _responses(operation["responses"])


def _parameters(parameters: list[dict[str, Any]]) -> Iterator[str]:
    if not parameters:
        return
    yield "| Parameter | In | Meaning |\n|---|---|---|"
    for each in parameters:
        needed = "; required" if each["required"] else ""
        yield f"| `{each['name']}` | {each['in']}{needed} | {_cell(_meaning(each))} |"
    yield ""


def _meaning(parameter: dict[str, Any]) -> str:
    schema = parameter.get("schema", {})
    text = parameter.get("description") or schema.get("description", "")
    choices = schema.get("enum")
    return f"{text} One of: {', '.join(map(str, choices))}." if choices else text


def _body(found: dict[str, Any], body: dict[str, Any]) -> Iterator[str]:
    name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema = found["components"]["schemas"][name]
    if "properties" not in schema:  # one of several: they have the same fields but the payload
        first = schema.get("anyOf", schema.get("oneOf"))[0]["$ref"].rpartition("/")[2]
        schema = found["components"]["schemas"][first]
    needed = set(schema.get("required", ()))
    yield "| Field of the body | Meaning |\n|---|---|"
    for field, shape in schema["properties"].items():
        mark = "required. " if field in needed else ""
        yield f"| `{field}` | {_cell(mark + shape.get('description', ''))} |"
    yield ""


def _responses(responses: dict[str, Any]) -> Iterator[str]:
    yield "| Status | Answer |\n|---|---|"
    for status, answer in responses.items():
        if answer["description"] and status not in _COMMON:
            yield f"| {status} | {_cell(answer['description'])} |"
    yield ""


def _problems() -> Iterator[str]:
    yield "## Problems\n\nThe `type` of a problem is `urn:job-runners:` and one of these names.\n"
    yield "| Name | Status | Title |\n|---|---|---|"
    for slug, kind in problems.kinds().items():
        yield f"| `{slug}` | {kind.status} | {_cell(kind.title)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
