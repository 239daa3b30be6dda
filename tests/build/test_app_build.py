"""The tree that functions run, with an organisation's work in it."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import job_runners.building.build
from app_folders import REQUIREMENTS, write_app
from job_runners.building.app_folder import BuildProblem, UnusableAppFolder
from job_runners.building.build import _dependencies, build, check
from job_runners.building.samconfig import SAMCONFIG, Target

# Run by an interpreter that finds nothing but the standard library and the tree.
_RUN = """
import os, sys
sys.path.insert(0, sys.argv[1])
os.environ.update(AWS_DEFAULT_REGION="us-east-1", JOBS_TABLE_NAME="jobs")
import job_runners.handlers.worker
from job_runners.engine.registry.registry import registry
job = registry().job("read_list")
print(job.call(None, job.payload_model(text="[may]\\n[june]\\n")))
import botocore.session
print(botocore.session.get_session().create_client("ses").meta.service_model.service_name)
import iniconfig
print(iniconfig.__file__.startswith(sys.argv[1]))
"""
_WHEEL = "acme_words-1.0.dist-info"


def wheel_with_a_file_for_python_2(folder: Path) -> Path:
    """Write a wheel of acme-words. It is the same each time, so that its hash is."""
    files = {
        "acme_words/__init__.py": "ONE = 'one'\n",
        "acme_words/old.py": "print ONE\n",
        "acme_words/words.py": "TWO = 'two'\n",
        f"{_WHEEL}/METADATA": "Metadata-Version: 2.1\nName: acme-words\nVersion: 1.0\n",
        f"{_WHEEL}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{_WHEEL}/RECORD": "",
    }
    folder.mkdir()
    wheel = folder / "acme_words-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return wheel


def test_what_is_built_runs_the_work_with_what_it_needs(tmp_path: Path) -> None:
    """The build finds packages through the project's settings of uv."""
    wheel = wheel_with_a_file_for_python_2(tmp_path / "wheels")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    requirements = f"{REQUIREMENTS}acme-words==1.0 --hash=sha256:{digest}\n"
    more = {"requirements.txt": requirements, "app.toml": 'services = ["ses"]\n'}
    more["pyproject.toml"] = '[tool.uv]\nfind-links = ["../wheels"]\n'
    app = write_app(tmp_path / "app", {**more, "acme/data.txt": "kept", "tests/test_x.py": ""})
    tree = tmp_path / "tree"
    build(Target.this_machine(), tree, app)
    shown = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _RUN, str(tree)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines() == ["['may', 'june']", "ses", "True"]
    assert list((tree / "acme" / "__pycache__").glob("lists.*.pyc"))
    compiled = (tree / "acme_words" / "__pycache__").glob("*.pyc")
    assert {each.name.partition(".")[0] for each in compiled} == {"__init__", "words"}
    assert (tree / "acme_words" / "old.py").exists()
    assert (tree / "acme" / "data.txt").read_text() == "kept"
    assert not (tree / "tests").exists()


def test_work_that_does_not_import_fails_the_check_of_a_build(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", {"acme/lists.py": "import no_such_thing\n"})
    with pytest.raises(UnusableAppFolder, match=r"acme/lists\.py, line 1: ModuleNotFound"):
        check(app)


@pytest.mark.parametrize(
    ("name", "whose"),
    [("handlers", "Job Runners"), ("acme", "your own code"), ("handlers.py", "Job"), ("tests", "")],
)
def test_a_build_with_a_dependency_named_like_ours_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, whose: str
) -> None:
    def install(target: Target, made: Path, *_: object) -> None:
        data = made / "botocore" / "data"
        data.mkdir(parents=True)
        (data / "endpoints.json").write_text('{"partitions": []}')
        (made / name).mkdir()
        (made / name / "x.py").touch()
        metadata = made / "acme_words-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Name: acme-words\n\n")
        (metadata / "RECORD").write_text(f"{name}/x.py,,\n")

    monkeypatch.setattr(job_runners.building.build, "CACHE", tmp_path)
    monkeypatch.setattr(job_runners.building.build, "_install", install)
    app = write_app(tmp_path / "app")
    if not whose:
        assert _dependencies(Target.this_machine(), app).exists()
        return
    said = rf"The package acme-words in .* has a module {Path(name).stem}\. So has {whose}"
    with pytest.raises(UnusableAppFolder, match=said):
        build(Target.this_machine(), tmp_path / "tree", app)


def test_work_that_does_not_compile_is_told_with_file_and_line(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app", {"acme/lists.py": "import json\nnames = (\n"})
    with pytest.raises(BuildProblem) as refused:
        build(Target.this_machine(), tmp_path / "tree", app)
    assert str(refused.value) == (
        f"{tmp_path}/app/acme/lists.py:2: SyntaxError: '(' was never closed. Correct that line"
    )


def test_the_command_says_it_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_app(tmp_path / "app", {"requirements.txt": "iniconfig\n"})
    monkeypatch.setenv("JOBS_PROJECT", str(tmp_path / "app"))
    options = ["--samconfig", str(SAMCONFIG)]
    shown = subprocess.run(
        [sys.executable, "-m", "job_runners.building.build", str(tmp_path / "tree"), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 1
    assert shown.stderr == (
        f"{tmp_path}/app/requirements.lock is missing, and requirements.txt has no hashes. To pin "
        "the packages with hashes, run uv pip compile --universal --generate-hashes "
        "requirements.txt -o requirements.lock\n"
    )
