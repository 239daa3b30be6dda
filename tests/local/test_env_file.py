"""What sam local and shells are told of a running local AWS."""

from fake_stack import OUTPUTS
from job_runners.cli.stack import Stack
from job_runners.local.run_folder import env_variables

STACK = Stack.from_outputs("ours", "us-east-1", OUTPUTS, "http://127.0.0.1:4566")


def test_functions_find_what_the_stack_has() -> None:
    found = env_variables(STACK)
    assert (found["JOBS_TABLE_NAME"], found["BUCKET_NAME"]) == ("jobs", "bucket")
    assert found["APP_SETTINGS_PATH"] == "/ours/app"
