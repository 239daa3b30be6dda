"""The tree that every function runs: whole, small, without what belongs to development."""

import hashlib
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path

import pytest

import job_runners.building.build
from app_folders import REQUIREMENTS, write_app
from job_runners.building.app_check import SHIPPED
from job_runners.building.app_folder import BuildProblem
from job_runners.building.build import build
from job_runners.building.prune import SERVICES
from job_runners.building.samconfig import Target, this_python
from job_runners.places import ROOT

# Bytes of the zip: what a cold start downloads.
ZIP_LIMIT = 9_000_000

# Run by an interpreter that finds nothing but the standard library and the tree.
_IMPORT = """
import importlib, sys
tree, *names = sys.argv[1:]
sys.path.insert(0, tree)
import os
os.environ.update(AWS_DEFAULT_REGION="us-east-1", JOBS_TABLE_NAME="jobs")
for name in names:
    importlib.import_module(name)
import botocore.session
for service in {services}:
    botocore.session.get_session().create_client(service)
outside = [
    module.__file__
    for name, module in sys.modules.items()
    if name.split(".")[0] in {{"botocore", "pydantic", "pynamodb", *names}}
    and not module.__file__.startswith(tree)
]
print("outside:", outside)
"""


JUST_JOBS = {"acme/__init__.py": "JOBS = {}\n", "acme/lists.py": ""}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built for this machine, as the local AWS runs it."""
    folder = tmp_path_factory.mktemp("tree")
    build(Target.this_machine(), folder)
    return folder


def modules(folder: Path) -> Iterator[str]:
    """Every module of ours in a folder, by its dotted name."""
    for name in SHIPPED:
        for path in sorted(
            [folder / name] if name.endswith(".py") else (folder / name).rglob("*.py")
        ):
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NEEDS_DJANGO = {
    f"job_runners.django.{name}"
    for name in ("apps", "backend", "calls", "checks", "execution", "results", "transports")
}


def test_every_module_imports_from_the_tree_alone(tree: Path) -> None:
    names = [each for each in modules(tree) if each not in NEEDS_DJANGO]
    shown = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            _IMPORT.format(services=sorted(SERVICES)),
            tree,
            *names,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == "outside: []\n"
    assert "job_runners.handlers.api" in names


_TWO_OF_THE_NIGHT = """
import sys, zoneinfo
sys.path.insert(0, sys.argv[1])
zoneinfo.reset_tzpath(to=[])
from job_runners.work.occurrences import When, next_after, zones
import tzdata
assert tzdata.__file__.startswith(sys.argv[1])
print(next_after(When("0 2 * * *", timezone="Europe/Berlin"), 0), len(zones()) > 500)
"""


def test_time_zones_ship_for_a_machine_that_has_none(tree: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _TWO_OF_THE_NIGHT, tree],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.stdout == f"{60 * 60 * 1000} True\n", shown.stderr


def test_what_belongs_to_development_does_not_ship(tree: Path) -> None:
    ours = {each.name for each in ROOT.iterdir() if not each.name.startswith((".", "__"))}
    assert {each.name for each in tree.iterdir()} & ours == {"handlers", "job_runners"}
    shipped = {f"job_runners/{each.name}" for each in (tree / "job_runners").iterdir()}
    assert shipped - {"job_runners/__pycache__"} == {*SHIPPED}
    assert not list(tree.rglob("boto3"))


def test_the_zip_stays_small(tree: Path, tmp_path: Path) -> None:
    packed = tmp_path / "function.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(tree.rglob("*")):
            if path.is_file():  # sam packs no folders either
                archive.write(path, path.relative_to(tree))
    assert packed.stat().st_size < ZIP_LIMIT, packed.stat().st_size


def test_the_list_of_each_distribution_names_files_that_are_there(tree: Path) -> None:
    records = list(tree.glob("*.dist-info/RECORD"))
    assert records
    for record in records:
        listed = [line.split(",")[0] for line in record.read_text().splitlines()]
        assert listed
        assert all((tree / name).exists() for name in listed)


def test_the_metadata_of_each_distribution_says_its_version_and_no_more(tree: Path) -> None:
    found = list(tree.glob("*.dist-info/METADATA"))
    assert found
    for path in found:
        metadata = message_from_string(path.read_text(encoding="utf-8"))
        assert (
            path.parent.name
            == f"{metadata['Name'].replace('-', '_')}-{metadata['Version']}.dist-info"
        )
        assert metadata.get_payload() == ""


def test_beside_other_work_what_that_may_import_stays(tree: Path, tmp_path: Path) -> None:
    build(Target.this_machine(), tmp_path / "tree", write_app(tmp_path / "app", JUST_JOBS))
    for name in ("pydantic/v1", "aws_lambda_powertools/utilities/idempotency"):
        assert (tmp_path / "tree" / name).is_dir()
        assert not (tree / name).exists()


def test_for_another_python_nothing_is_built(tmp_path: Path) -> None:
    with pytest.raises(BuildProblem, match=r"Functions run on Python 3\.99 .* or set Python"):
        build(Target("arm64", "python3.99"), tmp_path / "tree")
    assert not (tmp_path / "tree").exists()


def test_every_module_ships_bytecode_that_is_not_checked_against_its_source(tree: Path) -> None:
    tag = sys.implementation.cache_tag
    for source in tree.rglob("*.py"):
        compiled = source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc"
        (flags,) = struct.unpack("<I", compiled.read_bytes()[4:8])
        assert flags == 0b01, compiled  # made from a hash (1), which is not checked (no 2)


def test_the_same_sources_make_the_same_tree(tree: Path, tmp_path: Path) -> None:
    build(Target.this_machine(), tmp_path)
    assert _digest(tmp_path) == _digest(tree)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def test_the_build_follows_samconfig(tmp_path: Path) -> None:
    config = tmp_path / "samconfig.toml"
    written = (ROOT / "samconfig.toml").read_text()
    assert Target.from_samconfig() == Target("arm64", "python3.13")
    config.write_text(written.replace("arm64", "x86_64").replace("3.13", "3.12"))
    assert Target.from_samconfig(config) == Target("x86_64", "python3.12")


@pytest.mark.e2e
@pytest.mark.more
def test_sam_build_without_flags_builds_for_what_samconfig_names(tmp_path: Path) -> None:
    """With an organisation's work in it, if there is any."""
    app = write_app(tmp_path / "app", {"requirements.txt": REQUIREMENTS})
    shown = subprocess.run(
        [ROOT / ".venv-aws/bin/sam", "build", "--build-dir", tmp_path / "build"],
        cwd=ROOT,
        env={**os.environ, "JOBS_PROJECT": str(app.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    target = Target.from_samconfig()
    if target.python != this_python():
        assert f"Functions run on Python {target.python} " in shown.stderr
        assert shown.returncode != 0
        return
    assert shown.returncode == 0, shown.stderr
    for function in ("ApiFunction", "WorkerFunction", "TimerFunction", "FailuresFunction"):
        (library,) = (tmp_path / "build" / function / "pydantic_core").glob("*.so")
        assert "aarch64" in library.name
        machine = struct.unpack("<H", library.read_bytes()[18:20])
        assert machine == (183,)  # ELF's number of 64-bit ARM
        assert (tmp_path / "build" / function / "acme" / "lists.py").exists()
        assert (tmp_path / "build" / function / "iniconfig").is_dir()


def test_of_two_builds_at_the_same_time_the_second_takes_what_the_first_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_runners.building.build, "CACHE", tmp_path)
    monkeypatch.setattr(job_runners.building.build, "prune", lambda *_, **__: None)

    def install_while_another_does(target: Target, made: Path, *_: object) -> None:
        made.mkdir()
        (made / "module.py").touch()
        monkeypatch.setattr(job_runners.building.build, "_install", install)
        job_runners.building.build._dependencies(target)

    def install(target: Target, made: Path, *_: object) -> None:
        made.mkdir()
        (made / "module.py").touch()

    monkeypatch.setattr(job_runners.building.build, "_install", install_while_another_does)
    kept = job_runners.building.build._dependencies(Target.this_machine())
    assert (kept / "module.py").exists()
    assert list(tmp_path.iterdir()) == [kept]
