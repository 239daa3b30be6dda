"""The client as it is installed, against the local AWS: it finds the stack, its signatures are
checked there, and jobs run in functions."""

import ast
import uuid
from pathlib import Path

import pytest

from installed import run
from job_runners.local.run_folder import credentials
from local_stack import Local

# In `job-runners run`. This gives up a deployed stack's outputs, which test_contract.py has.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("local run")]

SCRIPT = """\
from job_runners import Client
client = Client(stack={stack!r})
file = b"first_name,last_name,cell\\nAda,Lovelace,(212) 555-0123\\n"
key = {campaign!r}
payload = {{"campaign": key, "key": client.upload(file, "c l\\u00e4/ient.csv")}}
job = client.dispatch("import_contacts", payload, idempotency_key=key)
print(client.wait(job, timeout=120).get_result())
assert client.find(idempotency_key=key).id == job.id
assert client.find(idempotency_key=key, organization_id="other") is None
"""


def test_a_few_lines_dispatch_a_job_and_print_its_result(local: Local, python: Path) -> None:
    stack = local.stack
    code = SCRIPT.format(stack=stack.name, campaign=f"campaign & {uuid.uuid4()}")
    done = run(
        *(python, "-W", "error", "-c", code),
        **credentials(stack).variables,
        AWS_ENDPOINT_URL=stack.endpoint_url,
        AWS_REGION=stack.region,
    )
    assert done.returncode == 0, done.stderr
    assert ast.literal_eval(done.stdout)["imported"] == 1
