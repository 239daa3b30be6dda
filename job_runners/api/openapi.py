"""Describe this stack's API, with its jobs, tasks and access mode, as an OpenAPI 3.1 document."""

import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from job_runners.api import problems
from job_runners.api.access import Role
from job_runners.api.batches import BatchData, MemberData
from job_runners.api.bulk import BulkData
from job_runners.api.json_schema import Schema, ref
from job_runners.api.payload_schema import PayloadSchema
from job_runners.api.requests import RerunFields, RetryData, SignalData, TaskData
from job_runners.api.router import OPEN, Route, Routes
from job_runners.api.schemas import SCHEMAS, problem
from job_runners.api.setting_requests import (
    FailureData,
    LimitsData,
    ScheduleData,
    WebhookData,
)
from job_runners.api.specification import (
    BODY_PROBLEMS,
    COMMON_PROBLEMS,
    CURSOR,
    HEADERS,
    ORGANIZATION,
    PATH_PARAMETERS,
    Operation,
)
from job_runners.engine.job_data import JobData, WebhookFollowUp
from job_runners.engine.registry.registry import registry
from job_runners.settings import settings
from job_runners.work.definitions import InternalJob, Job, Task

# For each schema name, the name of a job or task, and the job or task itself.
Definitions = dict[str, tuple[str, Job | Task]]

_REF = "#/components/schemas/{model}"
_NO_NUL = r"^[^\x00]*$"
_MODE: JsonSchemaMode = "validation"
_BASE_MODEL: dict[type[Job | Task], type[BaseModel]] = {Job: JobData, Task: TaskData}
_NAME_FIELD: dict[type[Job | Task], str] = {Job: "job_type", Task: "task_name"}
_SECURITY: dict[str, Schema] = {
    "iam": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "x-amazon-apigateway-authtype": "awsSigv4",
        "description": "Request signed with IAM credentials (AWS Signature Version 4, service "
        "`execute-api`)",
    },
    "jwt": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "Token of the stack's issuer with one of the roles viewer, reader, "
        "operator or service",
    },
}
_GATEWAY_ERRORS = {
    401: "Missing or invalid token",
    403: "",
    429: "Too many requests; try again later",
}


def document(routes: Routes) -> dict[str, Any]:
    """Return the document for these routes."""
    mode = settings().access_mode
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Job Runners",
            "version": "1",
            "description": "Background jobs and tasks. Errors are `application/problem+json` "
            f"(RFC 9457). The `type` of an error is `{problems.TYPE}` and a name. An unknown path "
            "is `path-not-found`, and an unknown method of a path is `method-not-allowed`.",
        },
        "paths": {
            _openapi_path(path): {
                method.lower(): _operation(path, route, route.operation)
                for method, route in methods.items()
                if route.operation
            }
            for path, methods in routes.items()
            if any(route.operation for route in methods.values())
        },
        "components": {
            "securitySchemes": {mode: _SECURITY[mode]},
            "schemas": SCHEMAS | _body_schemas() | {"Problem": _any_problem()},
        },
    }


def _openapi_path(path: str) -> str:
    return path.translate(str.maketrans("<>", "{}"))


def _operation(path: str, route: Route, operation: Operation) -> dict[str, Any]:
    text = " ".join((route.endpoint.__doc__ or "").split())
    entry: dict[str, Any] = {
        "operationId": route.endpoint.__name__,
        "summary": text.split(". ")[0].removesuffix("."),
        "description": text,
        "security": _security(route.role),
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": PATH_PARAMETERS[name]}
            for name in re.findall("<(.*?)>", path)
        ]
        + [_parameter(parameter) for parameter in operation.parameters],
        "responses": _responses(route, operation),
    }
    content: Schema = {"application/json": {"schema": ref(str(operation.body))}}
    if operation.takes_file:
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    if operation.body or operation.takes_file:
        entry["requestBody"] = {"required": operation.needs_body, "content": content}
    return entry


def _security(role: Role | None) -> list[dict[str, list[str]]]:
    """Return the security requirements of a route. A token needs the named role or a higher one."""
    if role is OPEN:
        return []
    mode = settings().access_mode
    return [{mode: [role.name.lower()] if mode == "jwt" else []}]


def _parameter(parameter: Schema) -> Schema:
    is_required = parameter["name"] == ORGANIZATION and settings().access_mode == "iam"
    return parameter | {"required": is_required or parameter["required"]}


def _responses(route: Route, operation: Operation) -> dict[str, Any]:
    responses = {
        str(status): _success_response(description, schema, headers)
        for status, (description, schema, headers) in operation.responses.items()
    }
    slugs_by_status: dict[int, list[str]] = {}
    for slug in sorted(set(_slugs(route, operation))):
        slugs_by_status.setdefault(problems.kinds()[slug].status, []).append(slug)
    for status, slugs in sorted(slugs_by_status.items()):
        responses[str(status)] = _problem_response(slugs)
    if route.role is OPEN:
        return responses
    for status, description in _GATEWAY_ERRORS.items():
        if status != 401 or settings().access_mode == "jwt":
            response = responses.setdefault(
                str(status), {"description": description, "content": {}}
            )
            response["content"]["application/json"] = {"schema": ref("GatewayMessage")}
    return dict(sorted(responses.items()))


def _slugs(route: Route, operation: Operation) -> Iterator[str]:
    """Yield the problems of the operation itself, and those of its caller, body and query."""
    yield from operation.problems
    if route.role is not OPEN:
        yield from COMMON_PROBLEMS
    if operation.body:
        yield from BODY_PROBLEMS
    if any(parameter["in"] == "query" for parameter in operation.parameters):
        yield "invalid-query"
    if CURSOR in operation.parameters:
        yield "invalid-cursor"


def _success_response(
    description: str, schema: str | None, headers: tuple[str, ...]
) -> dict[str, Any]:
    response: dict[str, Any] = {"description": description}
    if headers:
        response["headers"] = {name: HEADERS[name] for name in headers}
    if schema:
        response["content"] = {"application/json": {"schema": ref(schema)}}
    return response


def _problem_response(slugs: list[str]) -> dict[str, Any]:
    """Return the response of one status, which may have several types of problems."""
    types = {"type": {"enum": [problems.TYPE + slug for slug in slugs]}}
    description = "; ".join(f"{problems.kinds()[slug].title} (`{slug}`)" for slug in slugs)
    return {
        "description": description,
        "content": {
            problems.CONTENT_TYPE: {"schema": {"allOf": [ref("Problem")], "properties": types}}
        },
    }


def _any_problem() -> Schema:
    kinds = problems.kinds().values()
    description = "\n".join(f"- {kind.status} `{kind.slug}`: {kind.title}" for kind in kinds)
    return problem([problems.TYPE + kind.slug for kind in kinds]) | {"description": description}


def _body_schemas() -> dict[str, Schema]:
    """Return the schemas of all request bodies, with one for each job and each task.

    The names of these schemas start with `job.`, `task.` or `payload.`, so that they can't clash
    with the names of other schemas.
    """
    known = registry().loadable()
    definitions: Definitions = {
        **{
            _key("job", name): (name, job)
            for name, job in known.jobs.items()
            if not isinstance(job, InternalJob)
        },
        **{_key("task", name): (name, task) for name, task in known.tasks.items()},
    }
    models: set[type[BaseModel]] = {
        definition.payload_model for _, definition in definitions.values()
    }
    refs, shapes = models_json_schema(
        [(model, _MODE) for model in sorted(models, key=lambda model: model.__qualname__)],
        ref_template="#/components/schemas/payload.{model}",
        schema_generator=PayloadSchema,
    )
    schemas = {f"payload.{name}": shape for name, shape in shapes["$defs"].items()}
    for key, (name, definition) in definitions.items():
        schemas[key] = _body(name, definition, refs[definition.payload_model, _MODE])
    bodies: dict[str, Schema] = _without_nul(schemas | _fixed_body_schemas())
    return bodies | {
        "NewJob": _any_of_kind(Job, definitions),
        "Task": _any_of_kind(Task, definitions),
    }


_FIXED_BODIES = (
    FailureData,
    RerunFields,
    RetryData,
    LimitsData,
    ScheduleData,
    BulkData,
    SignalData,
    BatchData,
    MemberData,
    WebhookFollowUp,
    WebhookData,
)


def _fixed_body_schemas() -> dict[str, Schema]:
    """Return the schemas of request bodies that are the same in every stack."""
    _, shapes = models_json_schema(
        [(model, _MODE) for model in _FIXED_BODIES],
        ref_template=_REF,
    )
    schemas: dict[str, Schema] = shapes["$defs"]
    schemas["BulkData"]["properties"]["jobs"]["items"] = ref("NewJob")
    members, _null = schemas["BatchData"]["properties"]["members"]["anyOf"]
    members["items"] = ref("MemberData")
    return schemas


def _body(name: str, definition: Job | Task, payload: Schema) -> Schema:
    """Return the schema of the body for one job or task. The payload is required if any of its
    fields is required."""
    base = _BASE_MODEL[type(definition)].model_json_schema(ref_template=_REF)
    base.pop("$defs", None)  # they are among the fixed schemas
    field = _NAME_FIELD[type(definition)]
    needs_payload = any(
        model_field.is_required() for model_field in definition.payload_model.model_fields.values()
    )
    properties = {field: {"type": "string", "const": name}, "payload": payload}
    required = [field, "payload"] if needs_payload else [field]
    return base | {
        "title": name,
        "properties": base["properties"] | properties,
        "required": required,
    }


def _without_nul(schema: Any) -> Any:
    """Return the schema with a pattern that excludes NUL from every text, because the API refuses
    NUL in bodies."""
    if isinstance(schema, list):
        return [_without_nul(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {name: _without_nul(value) for name, value in schema.items()}
    is_restricted = not schema.keys().isdisjoint({"pattern", "const", "enum", "format"})
    if schema.get("type") == "string" and not is_restricted:
        result["pattern"] = _NO_NUL
    elif isinstance(schema.get("pattern"), str) and re.search(schema["pattern"], "\0"):
        result["allOf"] = [*schema.get("allOf", []), {"pattern": _NO_NUL}]
    return result


def _any_of_kind(kind: type[Job | Task], definitions: Definitions) -> Schema:
    """Return the schema of a body for any job, or for any task. The name of the job or task in the
    body selects its schema."""
    names = {
        name: ref(key)
        for key, (name, definition) in definitions.items()
        if isinstance(definition, kind)
    }
    if not names:  # oneOf needs at least one schema
        any_name: Schema = _without_nul(_BASE_MODEL[kind].model_json_schema(ref_template=_REF))
        return any_name
    mapping = {name: reference["$ref"] for name, reference in names.items()}
    return {
        "oneOf": list(names.values()),
        "discriminator": {"propertyName": _NAME_FIELD[kind], "mapping": mapping},
    }


def _key(kind: str, name: str) -> str:
    return f"{kind}.{re.sub('[^A-Za-z0-9._-]', '-', name)}"
