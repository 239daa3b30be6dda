"""FastAPI with Mangum: a route like POST /tasks that accepts a task but doesn't send it."""

import json
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request
from mangum import Mangum
from pydantic import BaseModel, ConfigDict

from measuring import measure
from work_unit import PAYLOAD, TASK_NAME, http_event, new_name, note


class Work(BaseModel):
    """The task's payload."""

    model_config = ConfigDict(extra="forbid")

    name: str
    notes: str = ""
    seconds: float = 0


class Task(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="forbid")

    task_name: str
    payload: Work


def signer(request: Request) -> str:
    """Return the ARN that signed the request."""
    event: dict[str, Any] = request.scope["aws.event"]
    signed_by = event["requestContext"].get("authorizer", {}).get("iam")
    if not signed_by:
        raise HTTPException(403, "this request was not verified")
    return str(signed_by["userArn"])


app = FastAPI()


@app.post("/tasks", status_code=202)
def post_task(task: Task, _caller: Annotated[str, Depends(signer)]) -> dict[str, str]:
    """Accept a task."""
    return {"id": new_name(), "task_name": task.task_name}


@app.post("/background", status_code=202)
def post_background(task: Task, background: BackgroundTasks) -> dict[str, str]:
    """Accept a task, and run it after the response with FastAPI's BackgroundTasks."""
    given = task.payload
    background.add_task(note, given.notes, given.seconds, given.name)
    return {"id": new_name()}


handler = Mangum(app, lifespan="off")


def route(units: int) -> None:
    """Measure a request."""
    event = http_event("POST", "/tasks", {"task_name": TASK_NAME, "payload": PAYLOAD})
    answer = handler(event, {})  # type: ignore[arg-type] # Mangum doesn't read the context here
    if answer["statusCode"] != 202:
        raise SystemExit(f"FastAPI answered {answer}")
    measure(lambda: handler(event, {}), units)  # type: ignore[arg-type]


def background_event(notes: str, seconds: str, name: str) -> None:
    """Print the event of a request for a background task."""
    payload = {"name": name, "notes": notes, "seconds": float(seconds)}
    print(json.dumps(http_event("POST", "/background", {"task_name": "work", "payload": payload})))
