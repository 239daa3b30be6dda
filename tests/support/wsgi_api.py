"""The API as a WSGI application in this process, for clients that want to call one."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from api_events import request, send

_Start = Callable[[str, list[tuple[str, str]]], object]


def application(environ: dict[str, Any], start_response: _Start) -> Iterable[bytes]:
    """One request, as API Gateway hands it on."""
    answer = send(_event(environ))
    status = f"{answer.status} {HTTPStatus(answer.status).phrase}"
    start_response(status, list(answer.headers.items()))
    return [answer.text.encode()]


def _event(environ: dict[str, Any]) -> dict[str, Any]:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name == "CONTENT_TYPE"
    }
    headers.pop("accept-encoding", None)  # an answer is text here, and not zipped
    return request(
        environ["REQUEST_METHOD"],
        quote(environ["PATH_INFO"].encode("latin-1")),
        raw=environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)),
        query=environ["QUERY_STRING"],
        headers=headers,
    )
