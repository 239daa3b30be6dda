"""What can't be imported, or clashes, is said at build time: file, line, and what to do."""

import sys
from pathlib import Path

import pytest

from app_folders import TABLE, write_app
from job_runners.building import build
from job_runners.building.app_check import check_imports
from job_runners.building.app_folder import UnusableAppFolder
from job_runners.building.samconfig import Target
from newcomers import Newcomer

LISTS = """
from pydantic import BaseModel
class ReadList(BaseModel): ...
def read_list(job, payload: ReadList): ...
"""
DIRECT = """
from acme.lists import read_list
from job_runners.work import Job
JOBS = {"read_list": Job(read_list)}
"""
SETTING = "\nfrom job_runners.work import app_setting\nKEY = app_setting('API_KEY')\n"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tree of this machine, to which a test adds a package."""
    folder = tmp_path_factory.mktemp("tree")
    target = Target.this_machine()
    for entry in build._dependencies(target).iterdir():
        (folder / entry.name).symlink_to(entry)
    build._add_sources(folder, ["acme"], {})
    return folder


def test_work_that_imports_passes(tree: Path, tmp_path: Path) -> None:
    check_imports(tree, write_app(tmp_path, {"acme/lists.py": f'print("hello")\n{LISTS}'}))


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (
            {"acme/__init__.py": DIRECT, "acme/lists.py": "\nimport no_such_thing\n"},
            "{app}/acme/lists.py:2: ModuleNotFoundError: No module named 'no_such_thing'. Add the "
            "package that provides no_such_thing to {app}/requirements.txt, then run uv pip ",
        ),
        (
            {"acme/__init__.py": DIRECT, "acme/lists.py": "from job_runners import Client\n"},
            "{app}/acme/lists.py:1: ModuleNotFoundError: No module named 'job_runners.client'. The "
            "functions don't contain the client. In a job, call job.dispatch, which dispatches to "
            "the job's own stack",
        ),
        (
            {"acme/__init__.py": DIRECT.replace("acme.lists", "acme.list")},
            "{app}/acme/__init__.py:2: ModuleNotFoundError: No module named 'acme.list'. Your "
            "package has no such module: correct the import, or add the file",
        ),
        (
            {"acme/__init__.py": DIRECT, "acme/lists.py": "x = 1\ny = (\n"},
            "{app}/acme/lists.py:2: SyntaxError: '(' was never closed",
        ),
        (
            {"acme/__init__.py": "import os\nKEY = os.environ['API_KEY']\n"},
            "{app}/acme/__init__.py:2: KeyError: 'API_KEY'. The module does this when it "
            "is imported, without settings or AWS. Move it into the function that needs it",
        ),
        (
            {"acme/__init__.py": DIRECT, "acme/lists.py": SETTING},
            "{app}/acme/lists.py:3: AppSettingMissing: The setting API_KEY doesn't exist. The "
            "module reads it when it is imported. Read it in the function that needs it, so",
        ),
        (
            {"acme/lists.py": SETTING},
            "acme/lists.py, line 3: AppSettingMissing: The setting API_KEY doesn't exist. A "
            "module is imported at build time too, with no settings and no AWS",
        ),
        (
            {"acme/__init__.py": "LIMIT = 3\nMOST = LIMT\n"},
            "{app}/acme/__init__.py:2: NameError: name 'LIMT' is not defined"
            if sys.version_info < (3, 12)
            else "{app}/acme/__init__.py:2: NameError: name 'LIMT' is not defined. "
            "Did you mean: 'LIMIT'?",
        ),
        (
            {"acme/__init__.py": TABLE.replace("read_list", "post_webhook")},
            "{app}/acme/__init__.py:4: the job 'post_webhook' is defined twice: "
            "in job_runners.shipped.jobs.table.JOBS and in acme.JOBS. "
            "Rename yours, here and in the code that dispatches it",
        ),
        (
            {
                "acme/__init__.py": "from job_runners.work import Queue\nQUEUES = {\n"
                "'a/b': Queue(slots=1)}\n"
            },
            "{app}/acme/__init__.py:3: acme.QUEUES: 'a/b' must be 1 to 128 characters",
        ),
        (
            {
                "acme/__init__.py": "\nfrom job_runners.work import Queue\n"
                "QUEUES = {'slow': Queue(slots=0)}\n"
            },
            "{app}/acme/__init__.py:3: Queue(slots=0): must be a whole number, 1 to 100",
        ),
        (
            {
                "acme/lists.py": LISTS,
                "acme/__init__.py": DIRECT.replace("import Job", "import Job, Recurring")
                + "RECURRING = {\n'nightly': Recurring('read_lists', every=60, "
                "organization_id='a'),\n}\n",
            },
            "acme/__init__.py, line 6): No job is named 'read_lists'. Did you mean 'read_list'?",
        ),
        (
            {
                "acme/__init__.py": "from job_runners.work import Recurring\n"
                "RECURRING = {'x': Recurring('x', cron='0 0 * *', organization_id='a')}\n"
            },
            "{app}/acme/__init__.py:2: Recurring(cron=): '0 0 * *' has 4 fields; it must have five",
        ),
        (
            {"acme/__init__.py": "from job_runners.work import Unique\nRULE = Unique()\n"},
            "{app}/acme/__init__.py:2: TypeError: Unique: the argument 'by' is missing",
        ),
        (
            {
                "acme/__init__.py": "from job_runners.work import Retry\n"
                "TAG = Retry(max_atempts=3)\n"
            },
            "{app}/acme/__init__.py:2: TypeError: Retry: the argument 'max_atempts' is unknown; "
            "did you mean 'max_attempts'?",
        ),
        (
            {
                "acme/__init__.py": DIRECT,
                "acme/lists.py": "\nfrom job_runners.work import RuningJob\n",
            },
            "{app}/acme/lists.py:2: ImportError: cannot import name 'RuningJob' from "
            "'job_runners.work'. Did you mean 'RunningJob'?",
        ),
        (
            {"acme/__init__.py": DIRECT, "acme/lists.py": "\nfrom json import zzz\n"},
            "{app}/acme/lists.py:2: ImportError: cannot import name 'zzz' from 'json'",
        ),
        (
            {"acme/__init__.py": "from job_runners.work import Retry\nTAG = Retry(3)\n"},
            "{app}/acme/__init__.py:2: TypeError: Retry takes 0 positional arguments",
        ),
        (
            {"acme/__init__.py": "JOB = {}\n"},
            "{app}/acme/__init__.py:1: the package acme defines none of JOBS, TASKS, QUEUES, "
            "RECURRING and AROUND",
        ),
        (
            {"acme/lists.py": "\nimport no_such_thing\n"},
            "'acme.lists:read_list' (acme/__init__.py, line 4) can't be loaded: "
            "acme/lists.py, line 2: ModuleNotFoundError: No module named 'no_such_thing'. ",
        ),
        ({"acme/__init__.py": "import os\nos._exit(3)"}, "the process that imported it ended"),
    ],
    ids=[
        "distribution",
        "client",
        "own-module",
        "syntax",
        "variable",
        "setting",
        "setting-of-entry",
        "typo",
        "name",
        "queue",
        "slots",
        "nightly",
        "cron",
        "keyword",
        "misspelt",
        "name-near",
        "name-far",
        "position",
        "table",
        "entry",
        "exit",
    ],
)
def test_what_does_not_import_is_said_in_plain_words(
    tree: Path, tmp_path: Path, files: dict[str, str], says: str
) -> None:
    app = write_app(tmp_path, {"acme/lists.py": LISTS, **files})
    with pytest.raises(UnusableAppFolder) as refused:
        check_imports(tree, app)
    text = str(refused.value)
    assert says.format(app=tmp_path) in text
    assert "Traceback" not in text
    assert str(tree) not in text


def test_a_file_below_the_current_folder_is_named_from_there(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = write_app(tmp_path / "app", {"acme/__init__.py": "x = (\n"})
    with pytest.raises(UnusableAppFolder, match=r"^app/acme/__init__\.py:1: SyntaxError"):
        check_imports(tree, app)


# --- packages that this environment has by chance, and the functions don't get --------------------

LATER = "\n\ndef read_list(job, payload):\n    import yaml\n"


@pytest.mark.parametrize(
    "text",
    [
        "import yaml",
        "import json, yaml.nodes",
        "from yaml import safe_load",
        LATER,
        "try:\n    import yaml\nexcept ValueError:\n    pass",
        "if not TYPE_CHECKING:\n    import yaml",
        "with open('x'):\n    import yaml",
    ],
)
def test_a_forgotten_package_is_named_with_the_line_and_the_command(
    tree: Path, tmp_path: Path, text: str
) -> None:
    line = text[: text.index("yaml")].count("\n") + 1
    files = {"acme/__init__.py": DIRECT, "acme/lists.py": LISTS, "acme/deep/later.py": text}
    with pytest.raises(UnusableAppFolder) as refused:
        check_imports(tree, write_app(tmp_path, files))
    assert str(refused.value) == (
        f"{tmp_path}/acme/deep/later.py:{line}: ModuleNotFoundError: No module named 'yaml'. This "
        "environment has it, but no lock pins it for the functions. Add PyYAML to "
        f"{tmp_path}/requirements.txt, then run uv pip compile --universal --generate-hashes "
        "requirements.txt -o requirements.lock"
    )


@pytest.mark.parametrize(
    "text",
    [
        "import pydantic, botocore.session, winreg",  # the last one is in Python, on Windows
        "import json, acme.lists, job_runners.work",
        "from . import lists\nfrom .yaml import load",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import yaml",
        "import typing as t\nif not t.TYPE_CHECKING:\n    pass\nelse:\n    import yaml",
        "try:\n    import yaml\nexcept ImportError:\n    yaml = None",
        "try:\n    import yaml\nexcept (KeyError, ModuleNotFoundError):\n    import moto",
        "from contextlib import suppress\nwith suppress(ImportError):\n    import yaml",
    ],
)
def test_other_imports_pass(tree: Path, tmp_path: Path, text: str) -> None:
    files = {"acme/__init__.py": DIRECT, "acme/lists.py": LISTS, "acme/fine.py": text}
    check_imports(tree, write_app(tmp_path, files))


@pytest.mark.parametrize("name", ["test_lists.py", "conftest.py", "tests/helpers.py"])
def test_tests_inside_the_package_may_use_what_only_tests_have(
    tree: Path, tmp_path: Path, name: str
) -> None:
    files = {"acme/__init__.py": DIRECT, "acme/lists.py": LISTS, f"acme/{name}": "import pytest\n"}
    check_imports(tree, write_app(tmp_path, files))


@pytest.mark.more
def test_the_command_test_finds_it_and_uv_add_mends_it(newcomer: Newcomer) -> None:
    newcomer.jobs("init", "acme")
    project = newcomer.inside("acme")
    work = "def sections():\n    import iniconfig\n"
    (project.folder / "acme" / "sections.py").write_text(work)
    refused = project.run("test")
    assert refused.returncode == 1
    said = "acme/sections.py:2: ModuleNotFoundError: No module named 'iniconfig'. This environment"
    assert said in refused.stderr
    assert "run uv add iniconfig" in refused.stderr
    project.uv("add", "--no-sync", "iniconfig")
    assert "iniconfig" not in project.run("test").stderr
