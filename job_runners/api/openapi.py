"""Describe the API of this deployment as an OpenAPI 3.1 document.

The document has one request schema for each job and each task that the deployed code defines. A
problem is the JSON object that describes an error (RFC 9457). A slug, such as `invalid-query`, is
the short name of a kind of problem. It is the last part of the problem's `type`.
"""

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
from job_runners.api.schemas import SCHEMAS, problem_schema
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

# The jobs and tasks of this deployment, each with its name. The dictionary's keys are the names of
# their schemas in the document.
Definitions = dict[str, tuple[str, Job | Task]]

_REF_TEMPLATE = "#/components/schemas/{model}"
_MODE: JsonSchemaMode = "validation"  # pydantic's: the schemas describe input, not output
_BODY_MODEL: dict[type[Job | Task], type[BaseModel]] = {Job: JobData, Task: TaskData}
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
# The errors that API Gateway itself returns. The description of 403 is empty, because the API's own
# problems with that status already describe it.
_GATEWAY_ERRORS = {
    401: "Missing or invalid token",
    403: "",
    429: "Too many requests; try again later",
}


def document(routes: Routes) -> dict[str, Any]:
    """Return the document for these routes."""
    mode = settings().access_mode
    paths = {}
    for path, methods in routes.items():
        operations = {
            method.lower(): _operation(path, route, route.operation)
            for method, route in methods.items()
            if route.operation
        }
        if operations:
            paths[_openapi_path(path)] = operations
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Job Runners",
            "version": "1",
            "description": "Background jobs and tasks. Errors are `application/problem+json` "
            f"(RFC 9457). The `type` of an error is `{problems.TYPE_PREFIX}` and a name. An "
            "unknown path is `path-not-found`, and an unknown method of a path is "
            "`method-not-allowed`.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {mode: _SECURITY[mode]},
            "schemas": SCHEMAS | _body_schemas() | {"Problem": _any_problem()},
        },
    }


def _openapi_path(path: str) -> str:
    return path.translate(str.maketrans("<>", "{}"))


def _operation(path: str, route: Route, operation: Operation) -> dict[str, Any]:
    text = " ".join((route.endpoint.__doc__ or "").split())
    path_parameters = [
        {"name": name, "in": "path", "required": True, "schema": PATH_PARAMETERS[name]}
        for name in re.findall("<(.*?)>", path)
    ]
    entry: dict[str, Any] = {
        "operationId": route.endpoint.__name__,
        "summary": text.split(". ")[0].removesuffix("."),
        "description": text,
        "security": _security(route.role),
        "parameters": [*path_parameters, *map(_parameter, operation.parameters)],
        "responses": _responses(route, operation),
    }
    content: Schema | None = None
    if operation.takes_file:
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    elif operation.body:
        content = {"application/json": {"schema": ref(operation.body)}}
    if content:
        entry["requestBody"] = {"required": operation.needs_body, "content": content}
    return entry


def _security(role: Role | None) -> list[dict[str, list[str]]]:
    """Return the security requirements of a route. A token needs the named role or a higher one.

    A route whose role is OPEN, which is None, has no requirements.
    """
    if role is OPEN:
        return []
    mode = settings().access_mode
    roles = [role.name.lower()] if mode == "jwt" else []
    return [{mode: roles}]


def _parameter(parameter: Schema) -> Schema:
    """Return a parameter with its `required`. The organization is required in the mode `iam`."""
    is_required = parameter["name"] == ORGANIZATION and settings().access_mode == "iam"
    return parameter | {"required": is_required or parameter["required"]}


def _responses(route: Route, operation: Operation) -> dict[str, Any]:
    """Return an operation's responses by status: successes, problems and API Gateway's errors."""
    responses = {
        str(status): _success_response(description, schema, headers)
        for status, (description, schema, headers) in operation.responses.items()
    }
    slugs_by_status: dict[int, list[str]] = {}
    for slug in sorted(set(_problem_slugs(route, operation))):
        slugs_by_status.setdefault(problems.kinds()[slug].status, []).append(slug)
    for status, slugs in sorted(slugs_by_status.items()):
        responses[str(status)] = _problem_response(slugs)
    if route.role is OPEN:
        return responses
    # A status may have both a problem and an error of API Gateway, in two content types.
    for status, description in _GATEWAY_ERRORS.items():
        if status != 401 or settings().access_mode == "jwt":
            response = responses.setdefault(
                str(status), {"description": description, "content": {}}
            )
            response["content"]["application/json"] = {"schema": ref("GatewayMessage")}
    return dict(sorted(responses.items()))


def _problem_slugs(route: Route, operation: Operation) -> Iterator[str]:
    """Yield the slugs of an operation's problems. They include the general problems of callers,
    bodies and query strings, if they can occur."""
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
    types = {"type": {"enum": [problems.TYPE_PREFIX + slug for slug in slugs]}}
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
    schema = problem_schema([problems.TYPE_PREFIX + kind.slug for kind in kinds])
    return schema | {"description": description}


def _body_schemas() -> dict[str, Schema]:
    """Return the schemas of all request bodies, including one for each job and each task.

    The names of schemas that depend on the stack's code start with `job.`, `task.` or `payload.`,
    so that they can't clash with other names.
    """
    # First name the schema of each job and task, then generate the schemas of all payloads, and
    # then build each body's schema around the reference to its payload's schema.
    known = registry().loadable()
    definitions: Definitions = {}
    for name, job in known.jobs.items():
        if not isinstance(job, InternalJob):
            definitions[_schema_name("job", name)] = (name, job)
    for name, task in known.tasks.items():
        definitions[_schema_name("task", name)] = (name, task)
    models: set[type[BaseModel]] = {
        definition.payload_model for _, definition in definitions.values()
    }
    payload_refs, payload_schemas = models_json_schema(
        [(model, _MODE) for model in sorted(models, key=lambda model: model.__qualname__)],
        ref_template="#/components/schemas/payload.{model}",
        schema_generator=PayloadSchema,
    )
    schemas = {f"payload.{name}": schema for name, schema in payload_schemas["$defs"].items()}
    for schema_name, (name, definition) in definitions.items():
        payload_ref = payload_refs[definition.payload_model, _MODE]
        schemas[schema_name] = _body_schema(name, definition, payload_ref)
    return (
        schemas
        | _fixed_body_schemas()
        | {
            "NewJob": _schema_of_any(Job, definitions),
            "Task": _schema_of_any(Task, definitions),
        }
    )


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
    _, generated = models_json_schema(
        [(model, _MODE) for model in _FIXED_BODIES], ref_template=_REF_TEMPLATE
    )
    schemas: dict[str, Schema] = generated["$defs"]
    # The code checks the items of these two lists one by one, not through the models. So the
    # generated schemas allow any item. Give them the items' real schemas.
    schemas["BulkData"]["properties"]["jobs"]["items"] = ref("NewJob")
    # `members` is a list or null. Only the list has items.
    members, _null = schemas["BatchData"]["properties"]["members"]["anyOf"]
    members["items"] = ref("MemberData")
    return schemas


def _body_schema(name: str, definition: Job | Task, payload: Schema) -> Schema:
    """Return the schema of the body for one job or task. The payload is required if any of its
    fields is required."""
    base = _BODY_MODEL[type(definition)].model_json_schema(ref_template=_REF_TEMPLATE)
    base.pop("$defs", None)  # the fixed schemas include them
    name_field = _NAME_FIELD[type(definition)]
    needs_payload = any(
        model_field.is_required() for model_field in definition.payload_model.model_fields.values()
    )
    properties = {name_field: {"type": "string", "const": name}, "payload": payload}
    return base | {
        "title": name,
        "properties": base["properties"] | properties,
        "required": [name_field, "payload"] if needs_payload else [name_field],
    }


def _schema_of_any(kind: type[Job | Task], definitions: Definitions) -> Schema:
    """Return the schema of a body that may be for any job, or for any task. The name of the job or
    task in the body selects one of the specific schemas."""
    refs = {
        name: ref(schema_name)
        for schema_name, (name, definition) in definitions.items()
        if isinstance(definition, kind)
    }
    if not refs:  # oneOf needs at least one schema
        return _BODY_MODEL[kind].model_json_schema(ref_template=_REF_TEMPLATE)
    mapping = {name: reference["$ref"] for name, reference in refs.items()}
    return {
        "oneOf": list(refs.values()),
        "discriminator": {"propertyName": _NAME_FIELD[kind], "mapping": mapping},
    }


def _schema_name(kind: str, name: str) -> str:
    return f"{kind}.{re.sub('[^A-Za-z0-9._-]', '-', name)}"
