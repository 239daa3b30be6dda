"""A package that this environment has by chance, and the functions don't get."""

from pathlib import Path

import pytest

from app_folders import REQUIREMENTS, write_app
from job_runners.building.app_folder import UnusableAppFolder
from job_runners.building.forgotten import check_requirements
from newcomers import Newcomer

FORGOTTEN = "\n\ndef read_list(job, payload):\n    import yaml\n"
PINS = {"requirements.txt": "iniconfig\n", "requirements.lock": REQUIREMENTS}


def problem(folder: Path, files: dict[str, str]) -> str | None:
    try:
        check_requirements(write_app(folder, {**PINS, **files}))
    except UnusableAppFolder as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "text",
    [
        "import yaml",
        "import json, yaml.nodes",
        "from yaml import safe_load",
        FORGOTTEN,
        "try:\n    import yaml\nexcept ValueError:\n    pass",
        "if not TYPE_CHECKING:\n    import yaml",
        "with open('x'):\n    import yaml",
    ],
)
def test_it_is_named_with_the_line_and_the_command(tmp_path: Path, text: str) -> None:
    line = text[: text.index("yaml")].count("\n") + 1
    assert problem(tmp_path, {"acme/deep/forgotten.py": text}) == (
        f"{tmp_path}/acme/deep/forgotten.py:{line} imports yaml, from the package PyYAML. This "
        "environment has it, but requirements.lock doesn't pin it, so the functions wouldn't have "
        f"it. Add PyYAML to {tmp_path}/requirements.txt, then run uv pip compile --universal "
        "--generate-hashes requirements.txt -o requirements.lock"
    )


@pytest.mark.parametrize(
    "text",
    [
        "import pydantic, botocore.session, iniconfig",  # ours, and the lock's
        "import json, acme.lists, job_runners.work",
        "from . import lists\nfrom .yaml import load",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import yaml",
        "import typing as t\nif not t.TYPE_CHECKING:\n    pass\nelse:\n    import yaml",
        "try:\n    import yaml\nexcept ImportError:\n    yaml = None",
        "try:\n    import yaml\nexcept (KeyError, ModuleNotFoundError):\n    import moto",
        "from contextlib import suppress\nwith suppress(ImportError):\n    import yaml",
        "import no_such_thing",  # the import itself fails, in app_check.py
        "def broken(:",  # so does this one
    ],
)
def test_other_imports_pass(tmp_path: Path, text: str) -> None:
    assert problem(tmp_path, {"acme/fine.py": text}) is None


@pytest.mark.parametrize("name", ["test_lists.py", "conftest.py", "tests/helpers.py"])
def test_tests_inside_the_package_may_use_what_only_tests_have(tmp_path: Path, name: str) -> None:
    assert problem(tmp_path, {f"acme/{name}": "import pytest\n"}) is None


@pytest.mark.more
def test_the_command_test_finds_it_and_uv_add_mends_it(newcomer: Newcomer) -> None:
    newcomer.jobs("init", "acme")
    project = newcomer.inside("acme")
    work = "def sections():\n    import iniconfig\n"
    (project.folder / "acme" / "sections.py").write_text(work)
    refused = project.run("test")
    assert refused.returncode == 1
    said = "acme/sections.py:2 imports iniconfig, from the package iniconfig. This environment has"
    assert said in refused.stderr
    assert "run uv add iniconfig" in refused.stderr
    project.uv("add", "--no-sync", "iniconfig")
    assert "iniconfig" not in project.run("test").stderr
