"""Write the files that let other programs use a running local AWS.

env.json is for sam local's --env-vars, and env.sh is for shells and the AWS tools in them.
"""

import json
from pathlib import Path
from urllib.parse import urlsplit

from job_runners.cli.stack import Stack, write_private
from job_runners.local.credentials import credentials
from job_runners.places import DATA

# The name by which a container reaches its host.
CONTAINER_HOST = "host.docker.internal"

NAMES = ("env.json", "env.sh")


def variables(stack: Stack, host: str = CONTAINER_HOST) -> dict[str, str]:
    """Return the variables in events/env.json with a stack's values.

    `host` is this machine's name for the program that reads them.
    """
    template: dict[str, str] = json.loads((DATA / "events" / "env.json").read_text())["Parameters"]
    endpoint = f"http://{host}:{urlsplit(stack.endpoint_url).port}"
    return template | {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ENDPOINT_URL_LAMBDA": endpoint,
        "JOBS_TABLE_NAME": stack.table_name,
        "COORDINATION_TABLE_NAME": stack.coordination_table_name,
        "APP_SETTINGS_PATH": f"/{stack.name}/app",
        "BUCKET_NAME": stack.bucket_name,
        "DELAY_QUEUE_URL": endpoint + urlsplit(stack.delay_queue_url).path,
    }


def save(stack: Stack, folder: Path) -> None:
    """Write both files."""
    text = json.dumps({"Parameters": variables(stack)}, indent=2) + "\n"
    write_private(folder / "env.json", text)
    exports = credentials(stack).variables | {
        "AWS_REGION": stack.region,
        "AWS_DEFAULT_REGION": stack.region,
        "AWS_ENDPOINT_URL": stack.endpoint_url,
        "JOB_RUNNERS_STACK": stack.name,
    }
    lines = [f"export {name}={value}" for name, value in exports.items()]
    write_private(folder / "env.sh", "\n".join([*lines, "unset AWS_PROFILE AWS_SESSION_TOKEN", ""]))
