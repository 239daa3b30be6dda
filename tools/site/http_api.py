"""The reference of the HTTP API, from the routes and the OpenAPI document that a stack serves."""

from collections.abc import Iterator
from typing import Any

from job_runners.api import openapi, problems
from job_runners.api.router import OPEN
from job_runners.api.routes.table import ROUTES

# The meaning of fields and parameters that the schemas don't describe.
_MEANINGS = {
    "job_type": "The job's type",
    "task_name": "The task's name",
    "payload": "The input, as the model of the job or task describes it",
    "limit": "How many entries the page has at most",
    "job_id": "The job's id",
    "task_id": "The task's id",
    "error_group_id": "The error group's id",
    "queue_name": "The name of the queue",
    "name": "The name",
    "kind": "What is paused: `job_type` or `queue`",
    "rate": "How many jobs start in how many seconds: `count`, `seconds` and `burst`",
}
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
    text = text or _MEANINGS.get(parameter["name"], "")
    choices = schema.get("enum")
    return f"{text} One of: {', '.join(map(str, choices))}." if choices else text


def _body(found: dict[str, Any], body: dict[str, Any]) -> Iterator[str]:
    content = body["content"].get("application/json")
    if not content:
        yield "The body is a file."
        yield ""
        return
    schema = _referred(found, content["schema"])
    # The body of a dispatch has a schema for each job. They have the same fields. The body of an
    # answer may be any JSON.
    choices = schema.get("anyOf") or schema.get("oneOf") or [schema]
    schemas = [_referred(found, each) for each in choices]
    needed = set.intersection(*(set(each.get("required", ())) for each in schemas))
    yield "| Field of the body | Meaning |\n|---|---|"
    for field in schemas[0]["properties"]:
        of_field = [each["properties"][field] for each in schemas if "properties" in each]
        texts = [each.get("description", "") for each in of_field]
        mark = "Required. " if field in needed else ""
        meaning = max(texts, key=len) or _MEANINGS.get(field, "")
        yield f"| `{field}` | {_cell(mark + meaning)} |"
    yield ""


def _referred(found: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that another one refers to, or the schema itself."""
    name = schema.get("$ref", "").rpartition("/")[2]
    referred: dict[str, Any] = found["components"]["schemas"][name] if name else schema
    return referred


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
