"""make check looks at the template: with cfn-lint at its finest level, and with checkov."""

import re
import subprocess
from pathlib import Path

import pytest

from job_runners.places import ROOT

TEMPLATE = (ROOT / "template.yaml").read_text()
SKIP = re.compile(r"^ +# checkov:skip=(\w+):(.*)\n", re.MULTILINE)


def make_template(folder: Path, template: str, *, scanned: bool = False) -> str:
    """Return what `make template` finds wrong with a template, which checkov may have scanned."""
    (folder / ".venv-scan").mkdir()  # of its own, for make marks in it what has passed
    for name in (".venv-aws", ".venv-scan/bin", ".checkov.yaml", "requirements"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "template.yaml").write_text(template)
    if scanned:
        (folder / ".venv-scan" / "template-scanned").touch()
    made = subprocess.run(
        ["make", "--file", ROOT / "Makefile", "template"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode != 0
    return made.stdout + made.stderr


def skips() -> set[tuple[str, str]]:
    """Return each check that is skipped, with the resource whose comment says so."""
    found = set()
    for resource in re.split(r"^  (?=\w+:\n)", TEMPLATE, flags=re.MULTILINE):
        name = resource.split(":")[0]
        found |= {(check, name) for check, _ in SKIP.findall(resource)}
    return found


@pytest.mark.more
def test_every_finding_of_checkov_is_fixed_or_has_its_reason_beside_the_resource(
    tmp_path: Path,
) -> None:
    """Without the reasons, and without versions of the bucket, exactly these are found."""
    bare = SKIP.sub("", TEMPLATE)
    unversioned = re.sub(r"^ +VersioningConfiguration.*\n", "", bare, flags=re.MULTILINE)
    said = make_template(tmp_path, unversioned)
    found = re.findall(r"Check: (\w+):.*\n\tFAILED for resource: AWS::[\w:]+\.(\w+)", said)
    # Which branch of the !If in this policy checkov takes differs from machine to machine.
    either = {("CKV_AWS_111", "WorkerRunsTheCampaign")}
    assert set(found) - either == (skips() | {("CKV_AWS_21", "Bucket")}) - either


def test_every_reason_is_a_sentence() -> None:
    reasons = [reason for _, reason in SKIP.findall(TEMPLATE)]
    assert reasons
    assert [each for each in reasons if len(each.split()) < 5] == []


@pytest.mark.more
def test_cfn_lint_looks_at_the_template_at_its_finest_level(tmp_path: Path) -> None:
    once = TEMPLATE.replace("    DeletionPolicy: Delete\n", "", 1)
    assert "I3011" in make_template(tmp_path, once, scanned=True)


def test_make_check_has_it_scanned_by_both() -> None:
    """A dry run of all that it does where nothing has passed before."""
    planned = subprocess.run(
        ["make", "--dry-run", "--always-make", "check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cfn-lint --include-checks I --template template.yaml" in planned.stdout
    assert "checkov --config-file .checkov.yaml" in planned.stdout
