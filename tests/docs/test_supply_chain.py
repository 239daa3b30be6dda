"""What we depend on: why, under which license, and listed with every build that wants it."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from job_runners import __version__
from job_runners.building.app_requirements import function_pins
from job_runners.building.samconfig import Target
from job_runners.places import ROOT
from tools.deployed_packages import NotInstalled, Package, packages

REQUIREMENTS = ROOT / "requirements"
NAMED = sorted(each.stem for each in REQUIREMENTS.glob("*.in"))
# All let others build them into their work, whatever its license.
PERMISSIVE = {"MIT", "MIT-0", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "PSF-2.0"}


@pytest.fixture(scope="module")
def shipped() -> list[Package]:
    """Return what our lock has."""
    return packages((REQUIREMENTS / "runtime.txt").read_text(), sys.path)


# --- why --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMED)
def test_each_requirement_says_beside_it_why_it_is_there(name: str) -> None:
    lines = (REQUIREMENTS / f"{name}.in").read_text().splitlines()
    required = [each for each in lines if re.match(r"\w", each)]
    assert required
    for line in required:
        _, _, reason = line.partition("  # ")
        assert len(reason.split()) >= 2 or (ROOT / reason).is_dir(), f"without a reason: {line}"


@pytest.mark.parametrize("name", NAMED)
def test_each_file_is_explained_and_its_lock_has_what_it_names_with_hashes(name: str) -> None:
    assert f"| `{name}` |" in (REQUIREMENTS / "README.md").read_text()
    lock = (REQUIREMENTS / f"{name}.txt").read_text()
    for line in (REQUIREMENTS / f"{name}.in").read_text().splitlines():
        if wanted := re.match(r"\w[\w-]*", line):
            pinned = re.search(rf"^{wanted[0]}(\[[\w,]+\])?==.+\\\n +--hash", lock, re.MULTILINE)
            assert pinned, wanted[0]
    assert not re.search("https?://", lock)


def test_make_lock_pins_every_file() -> None:
    made = subprocess.run(
        ["make", "--dry-run", "lock", "PROJECT="],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    (names,) = re.findall(r"for name in ([\w ]+);", made.stdout)
    assert sorted(names.split()) == NAMED


# --- licences ---------------------------------------------------------------------------------


def test_the_licence_of_each_package_that_ships_is_listed(shipped: list[Package]) -> None:
    listed = re.findall(r"^\| ([\w-]+) \| (.+) \|$", _table("Deployed packages"), re.MULTILINE)
    assert listed[1:] == [(each.name, each.license) for each in shipped]  # after the head


def test_what_ships_may_be_built_into_work_of_any_license(shipped: list[Package]) -> None:
    for package in shipped:
        choices = set(package.license.split(" OR "))
        assert choices & PERMISSIVE, f"{package.name}: {package.license}"


def _table(title: str) -> str:
    _, _, after = (REQUIREMENTS / "README.md").read_text().partition(f"\n## {title}\n")
    return after.partition("\n## ")[0]


# --- the bill of materials --------------------------------------------------------------------


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what make sbom writes."""
    file = tmp_path_factory.mktemp("sbom") / "made here" / "sbom.json"
    # dev and scan are made already
    made = ["make", "--old-file", "dev", "--old-file", "scan", "sbom", f"SBOM={file}", "PROJECT="]
    subprocess.run(made, cwd=ROOT, check=True)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_the_bill_has_each_package_that_ships_with_version_licence_and_hashes(
    bill: dict[str, Any], shipped: list[Package]
) -> None:
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["version"] == __version__
    lock = (REQUIREMENTS / "runtime.txt").read_text()
    assert [(each["name"], each["version"]) for each in bill["components"]] == re.findall(
        r"^([\w-]+)==(\S+)", lock, re.MULTILINE
    )
    for component, package in zip(bill["components"], shipped, strict=True):
        assert component["purl"] == f"pkg:pypi/{package.name}@{package.version}"
        ((license,), (files,)) = component["licenses"], component["externalReferences"]
        named = license.get("expression") or license["license"]["id"]
        assert named == package.license
        hashes = [each["content"] for each in files["hashes"]]
        assert sorted(hashes) == sorted(package.hashes) != []


def test_an_organisations_lock_is_listed_too(shipped: list[Package]) -> None:
    (click,) = re.findall(r"^click==\S+", (REQUIREMENTS / "dev.txt").read_text(), re.MULTILINE)
    theirs = f"{click} \\\n    --hash=sha256:{'0' * 64}\n    # via -r requirements.txt\n"
    both = packages(function_pins(theirs, Target.this_machine()), sys.path)
    (more,) = [each for each in both if each not in shipped]
    assert f"{more.name}=={more.version}" == click
    assert more.license == "BSD-3-Clause"


def test_a_package_that_is_not_installed_at_its_version_is_named() -> None:
    with pytest.raises(NotInstalled, match=r"click 0\.1 is not installed.*make dev"):
        packages("click==0.1\n", sys.path)


# --- advisories -------------------------------------------------------------------------------


def test_make_audit_reads_every_lock() -> None:
    """All but the question itself, for which the registry would have to be reached."""
    made = subprocess.run(
        [
            "make",
            "--old-file",
            "scan",
            "audit",
            "AUDIT=--dry-run",
            "PROJECT=",
        ],  # scan is made already
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    audited = re.findall(r"would have audited (\d+) packages", made.stderr)
    assert len(audited) == len(NAMED)
    assert all(int(each) > 0 for each in audited)


def test_an_advisory_is_accepted_with_its_reason_and_as_long_as_its_package_is_locked() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (accepted,) = re.findall(r"^ACCEPTED :=(.*)$", makefile, re.MULTILINE)
    reasons = dict(re.findall(r"^# - (\S+): (.+)$", makefile, re.MULTILINE))
    assert sorted(reasons) == sorted(accepted.split())
    project_pins = {
        name
        for lock in REQUIREMENTS.glob("*.txt")
        for name in re.findall(r"^([\w-]+)==", lock.read_text(), re.MULTILINE)
    }
    for reason in reasons.values():
        assert set(re.findall(r"[\w-]+", reason)) & project_pins, reason
