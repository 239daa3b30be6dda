"""An organisation erased from a stack that works, on the local AWS."""

import uuid
from typing import Any

import pytest

from job_runners.cli import local_aws
from jobs_command import jobs
from local_stack import Local

# In `job-runners run`. This gives up nothing: the command uses the operator's permissions.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("local run")]


def erase(organization_id: str) -> Any:
    return jobs("erase", "--local", "--organization", organization_id, "--yes", "--json")


def test_an_organisation_is_gone_with_every_version_of_its_files(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_aws, "running_stack", lambda: local.stack)
    stack, s3, name = local.stack, local.client("s3"), f"org-{uuid.uuid4()}"
    uploaded = f"uploads/{name}/people.csv"
    for row in ("Ada,Lovelace,(212) 555-0123", "Ada,Byron,(212) 555-0123"):  # the second hides one
        body = f"first_name,last_name,cell\n{row}\n".encode()
        s3.put_object(Bucket=stack.bucket_name, Key=uploaded, Body=body)
    payload = {"campaign": "spring", "key": uploaded}
    job_id = local.dispatch("import_contacts", payload, organization_id=name)
    local.reach(job_id, "succeeded")

    done = erase(name)
    assert done.exit_code == 0, done.output
    assert local.api.get(f"/jobs/{job_id}").status == 404
    assert local.api.get(f"/jobs?organization_id={name}").json["jobs"] == []
    listed = s3.list_object_versions(Bucket=stack.bucket_name, Prefix=f"uploads/{name}/")
    assert not listed.get("Versions")
    assert not listed.get("DeleteMarkers")
    again = erase(name)
    assert again.exit_code == 0, again.output
