"""events/env.json for one running stack: what sam local's --env-vars needs to reach it."""

import json
from pathlib import Path
from urllib.parse import urlsplit

from cli.stack import Stack
from local.build import ROOT

# How a container calls the machine that it runs on.
CONTAINER_HOST = "host.docker.internal"


def variables(stack: Stack, host: str = CONTAINER_HOST) -> dict[str, str]:
    """The file's variables with the stack's names, and its port at `host`."""
    given: dict[str, str] = json.loads((ROOT / "events" / "env.json").read_text())["Parameters"]
    endpoint = f"http://{host}:{urlsplit(stack.endpoint_url).port}"
    return given | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ENDPOINT_URL_LAMBDA": endpoint,
        "JOBS_TABLE_NAME": stack.table_name,
        "COORDINATION_TABLE_NAME": stack.coordination_table_name,
        "CONTACTS_TABLE_NAME": stack.contacts_table_name,
        "BUCKET_NAME": stack.bucket_name,
        "DELAY_QUEUE_URL": endpoint + urlsplit(stack.delay_queue_url).path,
    }


def save(stack: Stack, path: Path) -> None:
    """Write the file for sam local."""
    path.write_text(json.dumps({"Parameters": variables(stack)}, indent=2) + "\n")
