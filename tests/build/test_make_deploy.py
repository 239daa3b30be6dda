"""make deploy looks at credentials and region before it builds for half a minute."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from emulated_aws.emulator import emulator
from job_runners.places import ROOT

NOBODYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}


def deploy(home: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it where nothing but these variables says whose AWS it is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    none = {
        "AWS_CONFIG_FILE": str(home / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "none"),
    }
    make = shutil.which("make")
    assert make
    return subprocess.run(
        [make, "deploy", *words],
        cwd=ROOT,
        env={**kept, **none, "AWS_EC2_METADATA_DISABLED": "true", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


@pytest.mark.parametrize(
    ("variables", "words", "name"),
    [
        ({}, "No AWS region is set.", "AWS_REGION"),
        (NOBODYS, "No AWS region is set.", "AWS_REGION"),
        ({"AWS_REGION": "eu-west-1"}, "No AWS credentials found.", "AWS_PROFILE"),
        ({"AWS_PROFILE": "nobody"}, "The config profile (nobody) could not be found.", "aws"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_built(
    tmp_path: Path, variables: dict[str, str], words: str, name: str
) -> None:
    done = deploy(tmp_path, **variables)
    assert done.returncode != 0
    assert words in done.stderr
    assert name in done.stderr  # make takes no options, so the advice names a variable too
    assert "Traceback" not in done.stderr
    assert "uild" not in done.stdout + done.stderr.replace("make build", "")


@pytest.mark.e2e
def test_whose_credentials_they_are_is_asked_of_aws(tmp_path: Path) -> None:
    with emulator(tmp_path) as aws:
        where = {"AWS_ENDPOINT_URL": aws.endpoint_url, "AWS_REGION": "us-east-1"}
        refused = deploy(tmp_path, **where, **NOBODYS)
        assert refused.returncode != 0
        assert "AWS doesn't accept your credentials" in refused.stderr
        # Because the project's code has a mistake, it ends there.
        project = tmp_path / "acme"
        (project / "acme").mkdir(parents=True)
        (project / "acme" / "__init__.py").write_text("JOBS = (\n")
        shutil.copy(ROOT / "examples" / "sqs_runner" / "samconfig.toml", project)
        given = {**where, **aws.credentials.variables, "JOBS_PROJECT": str(project)}
        let_in = deploy(tmp_path, **given)
    assert "Deploying to account 000000000000, us-east-1 of the AWS at http://" in let_in.stderr
    assert "acme/__init__.py:1: SyntaxError" in let_in.stdout + let_in.stderr
