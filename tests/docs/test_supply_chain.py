"""What we depend on: why, under which license, and listed with every build that wants it."""

import json
import re
import subprocess
from importlib.metadata import metadata
from pathlib import Path

import pytest

from app_folders import write_app
from job_runners import __version__
from job_runners.places import ROOT

REQUIREMENTS = ROOT / "requirements"
NAMED = sorted(each.stem for each in REQUIREMENTS.glob("*.in"))
# All let others build them into their work, whatever its license.
PERMISSIVE = {"MIT", "MIT-0", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "PSF-2.0"}


_NO_LICENSE = {  # the licenses of packages whose metadata names none
    "cronsim": "BSD-3-Clause",
    "python-dateutil": "Apache-2.0 OR BSD-3-Clause",
}


@pytest.fixture(scope="module")
def shipped() -> dict[str, str]:
    """Return the license of each package that our lock has."""
    lock = (REQUIREMENTS / "runtime.txt").read_text()
    return {name: _license(name) for name in re.findall(r"^([\w-]+)==", lock, re.MULTILINE)}


def _license(name: str) -> str:
    fields = metadata(name)
    (own,) = fields.get_all("License") or [""]
    (expression,) = fields.get_all("License-Expression") or [_NO_LICENSE.get(name)]
    classifiers = fields.get_all("Classifier") or []
    names = [each.split(" :: ")[-1] for each in classifiers if each.startswith("License")]
    return expression or own.partition("\n")[0] or " OR ".join(names)


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


def test_the_licence_of_each_package_that_ships_is_listed(shipped: dict[str, str]) -> None:
    listed = re.findall(r"^\| ([\w-]+) \| (.+) \|$", _table("Deployed packages"), re.MULTILINE)
    assert listed[1:] == sorted(shipped.items())  # after the head


def test_what_ships_may_be_built_into_work_of_any_license(shipped: dict[str, str]) -> None:
    for name, license_text in shipped.items():
        choices = set(license_text.split(" OR "))
        assert choices & PERMISSIVE, f"{name}: {license_text}"


def _table(title: str) -> str:
    _, _, after = (REQUIREMENTS / "README.md").read_text().partition(f"\n## {title}\n")
    return after.partition("\n## ")[0]


# --- the bill of materials --------------------------------------------------------------------


def test_the_bill_has_what_the_functions_of_a_project_get_with_version_and_hashes(
    tmp_path: Path,
) -> None:
    dev = (REQUIREMENTS / "dev.txt").read_text()
    (click,) = re.findall(r"^click==(\S+)", dev, re.MULTILINE)
    hashed = f" \\\n    --hash=sha256:{'0' * 64}\n"
    theirs = (f"click=={click}", "six==1.0", 'colorama==0.4 ; sys_platform == "win32"')
    files = {"requirements.txt": "click\n", "requirements.lock": hashed.join([*theirs, ""])}
    write_app(tmp_path / "app", files)
    file = tmp_path / "made here" / "sbom.json"
    # dev and scan are made already
    made = ["make", "--old-file", "dev", "--old-file", "scan", "sbom", f"SBOM={file}"]
    subprocess.run([*made, f"PROJECT={tmp_path / 'app'}"], cwd=ROOT, check=True)
    bill = json.loads(file.read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["version"] == __version__
    lock = (REQUIREMENTS / "runtime.txt").read_text()
    pinned = dict(re.findall(r"^([\w-]+)==(\S+)", lock, re.MULTILINE))
    listed = [(each["name"], each["version"]) for each in bill["components"]]
    assert sorted(listed) == sorted((pinned | {"click": click, "six": "1.0"}).items())
    for component in bill["components"]:
        assert component["purl"] == f"pkg:pypi/{component['name']}@{component['version']}"
        ((files_of_release,),) = (component["externalReferences"],)
        assert files_of_release["hashes"]


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
