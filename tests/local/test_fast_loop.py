"""Code that is saved while a local AWS is up: what is put in force, and what is refused and why."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

import pytest

from app_folders import REQUIREMENTS
from fake_stack import OUTPUTS
from job_runners.building.build import ROOT, Target, build
from job_runners.building.function_files import SHIPPED
from job_runners.cli import local_aws
from job_runners.cli.stack import Stack
from job_runners.errors import JobRunnersError
from job_runners.local import watcher
from job_runners.local.emulator import CODE_FOLDER
from job_runners.local.function_code import active_tree
from job_runners.local.new_code import ImportChecker, Packages, Trees
from job_runners.local.watcher import Sources, Watcher
from jobs_command import jobs

DEPLOYED = "0" * 64  # the hash of the zip
PATIENCE = 60  # seconds
VARIABLES = {
    "AWS_REGION": "us-east-1",
    "JOB_RUNNER": "legacy",
    "JOBS_TABLE_NAME": "jobs",
    "COORDINATION_TABLE_NAME": "coordination",
    "APP_SETTINGS_PATH": "/job-runners/app",
}


@dataclass
class Checkout:
    """A copy of the checkout that a test may write in, and the watcher of a run of it."""

    root: Path
    home: Path
    watcher: Watcher
    checker: ImportChecker
    said: list[str] = field(default_factory=list)

    @property
    def running(self) -> Path:
        """The tree that functions run."""
        return active_tree(self.home / CODE_FOLDER, DEPLOYED)

    @property
    def outdated(self) -> str:
        """What the jobs command would say."""
        file = self.home / local_aws.OUTDATED_FILE
        return file.read_text() if file.exists() else ""

    def save(self, name: str, text: str) -> None:
        """Save a file, and have the watcher look."""
        (self.root / name).write_text(text)
        self.watcher.reload_changes()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the deployed code."""
    tree = tmp_path_factory.mktemp("built") / "tree"
    build(Target.this_machine(), tree)
    return tree


@pytest.fixture
def checkout(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checkout]:
    """Yield a run of a copy."""
    root = tmp_path / "checkout"
    home = root / ".local"
    root.mkdir()
    for name in SHIPPED:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        (root / name).parent.mkdir(exist_ok=True)
        copy(source, root / name)
    (root / "template.yaml").write_text("Resources:")
    (home / CODE_FOLDER).mkdir(parents=True)
    (home / CODE_FOLDER / DEPLOYED).symlink_to(built)
    monkeypatch.chdir(root)
    packages = Packages({name: root / name for name in SHIPPED})
    sources = Sources.now(packages, [root / "template.yaml"], root / "app")
    deployed = home / CODE_FOLDER / DEPLOYED
    trees = Trees(home / CODE_FOLDER, packages, deployed, sources.digests)
    checker = ImportChecker(packages, VARIABLES, Path("app/requirements.txt"))
    said: list[str] = []
    watcher = Watcher(home, sources, trees, checker, [DEPLOYED], said.append)
    yield Checkout(root, home, watcher, checker, said)
    checker.close()


def test_what_is_saved_is_in_force_compiled_beside_what_has_not_changed(checkout: Checkout) -> None:
    before = checkout.running
    checkout.save("job_runners/shipped/jobs/greet.py", "GREETING = 'hi'\n")
    tree = checkout.running
    assert tree != before
    assert (tree / "job_runners/shipped/jobs" / "greet.py").read_text() == "GREETING = 'hi'\n"
    assert list((tree / "job_runners/shipped/jobs" / "__pycache__").glob("greet.*.pyc"))
    assert [path.name for path in tree.iterdir() if not path.is_symlink()] == ["job_runners"]
    ours = tree / "job_runners"
    copied = {path.name for path in ours.iterdir() if not path.is_symlink()}
    assert copied - {"__pycache__"} == {"shipped"}
    for folder in ("", "job_runners"):
        names = [{path.name for path in (each / folder).iterdir()} for each in (tree, before)]
        assert names[0] - {"__pycache__"} == names[1] - {"__pycache__"}
    assert "Reloaded: job_runners/shipped (" in checkout.said[0]
    assert checkout.outdated == ""


def test_a_module_may_create_a_client_when_it_is_imported(checkout: Checkout) -> None:
    text = "from botocore.session import Session\nDB = Session().create_client('dynamodb')\n"
    checkout.save("job_runners/shipped/jobs/greet.py", text)
    assert "Reloaded: job_runners/shipped (" in checkout.said[0]


def test_a_file_that_is_removed_is_gone(checkout: Checkout) -> None:
    checkout.save("job_runners/shipped/jobs/greet.py", "")
    (checkout.root / "job_runners/shipped/jobs" / "greet.py").unlink()
    checkout.watcher.reload_changes()
    assert not (checkout.running / "job_runners/shipped/jobs" / "greet.py").exists()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (
            "job_runners/shipped/jobs/greet.py",
            "x = 1\ny = (\n",
            "job_runners/shipped/jobs/greet.py:2: SyntaxError: '(' was never closed",
        ),
        (
            "job_runners/shipped/jobs/greet.py",
            "import nonesuch\n",
            "job_runners/shipped/jobs/greet.py:1: ModuleNotFoundError: No module",
        ),
        (
            "job_runners/shipped/tasks/greet.py",
            "\nimport os\nos.environ['NONE']\n",
            "job_runners/shipped/tasks/greet.py:3: KeyError: 'NONE'",
        ),
        (
            "job_runners/shipped/jobs/greet.py",
            "from job_runners.work import app_setting\napp_setting('API_KEY')\n",
            "AppSettingMissing: The setting API_KEY doesn't exist. The module reads it when it is",
        ),
        (
            "job_runners/work/greet.py",
            "raise SystemExit(1)\n",
            "job_runners/work/greet.py:1: SystemExit: 1",
        ),
        (
            "job_runners/shipped/jobs/greet.py",
            "import os\nos._exit(3)\n",
            "the process that imported it ended",
        ),
        ("job_runners/clock.py", "\ndef (:\n", "job_runners/clock.py:2: SyntaxError"),
        (
            "job_runners/shipped/tasks/table.py",
            "TASKS = {'greet': print}\n",
            "job_runners.shipped.tasks.table.TASKS: 'greet' must map to a Task",
        ),
        (
            "job_runners/shipped/tasks/table.py",
            "from job_runners.work import Task\n"
            "TASKS = {'greet': Task('job_runners.shipped.tasks.table:greet')}\n",
            "the task 'greet': 'job_runners.shipped.tasks.table:greet' (",
        ),
    ],
)
def test_code_that_can_t_run_is_told_with_its_line_and_what_was_there_stays(
    checkout: Checkout, name: str, text: str, told: str
) -> None:
    before = checkout.running
    checkout.save(name, text)
    assert checkout.running == before
    assert told in checkout.said[0]
    assert "stays active" in checkout.said[0]
    assert told in checkout.outdated
    assert "\n" not in checkout.outdated


def test_once_a_mistake_is_fixed_nothing_is_said_of_it_any_more(checkout: Checkout) -> None:
    checkout.save("job_runners/shipped/jobs/greet.py", "x = (\n")
    checkout.save("job_runners/shipped/jobs/greet.py", "x = ()\n")
    assert (checkout.running / "job_runners/shipped/jobs" / "greet.py").read_text() == "x = ()\n"
    assert checkout.outdated == ""
    checkout.save("job_runners/shipped/jobs/greet.py", "x = (\n")
    checkout.save("job_runners/shipped/jobs/greet.py", "x = ()\n")
    assert "is the active code again" in checkout.said[-1]
    assert checkout.outdated == ""


def test_what_only_a_new_start_puts_in_force_asks_for_one_until_it_is_as_it_was(
    checkout: Checkout,
) -> None:
    checkout.save("template.yaml", "Resources: {}")
    assert checkout.said == [checkout.outdated]
    assert "template.yaml has changed since the deploy" in checkout.outdated
    assert "job-runners run" in checkout.outdated
    checkout.watcher.reload_changes()
    assert len(checkout.said) == 1  # once
    checkout.save("template.yaml", "Resources:")
    assert checkout.outdated == ""


@pytest.fixture
def app(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of an app that doesn't exist yet."""
    folder = checkout.root / "app"
    monkeypatch.setenv("JOBS_PROJECT", str(folder))

    def read_sources() -> Sources:
        names = {each.name: each for each in folder.iterdir() if (each / "__init__.py").exists()}
        ours = {name: checkout.root / name for name in SHIPPED}
        built = [folder / "requirements.txt", folder / "requirements.lock"]
        fixed = [checkout.root / "template.yaml"]
        return Sources.now(Packages({**ours, **names}), fixed, folder, built)

    monkeypatch.setattr(checkout.watcher, "_read_sources", read_sources)
    return folder


def test_a_new_package_is_active_without_another_start(checkout: Checkout, app: Path) -> None:
    seen = checkout.watcher._sources.stat()
    (app / "acme").mkdir(parents=True)
    checkout.save("app/acme/__init__.py", "JOBS = {}")
    assert checkout.watcher._sources.stat() != seen  # so that `run` has a look at it
    assert checkout.said[-1].startswith("Reloaded: app/acme (")
    assert (checkout.running / "acme" / "__init__.py").read_text() == "JOBS = {}"
    checkout.save("template.yaml", "Resources: {}")
    assert "template.yaml has changed" in checkout.said[-1]
    checkout.save("app/acme/__init__.py", "JOBS = dict()")
    assert checkout.said[-1].startswith("Reloaded: acme (")


@pytest.mark.parametrize("fails", [False, True])
def test_while_packages_are_installed_only_this_is_said(
    checkout: Checkout, app: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    (app / "acme").mkdir(parents=True)
    checkout.save("app/acme/__init__.py", "JOBS = {}")
    checkout.save("app/requirements.txt", "iniconfig\n")
    checkout.save("app/acme/__init__.py", "import iniconfig\nJOBS = {}")
    assert "requirements are not active yet" in checkout.outdated
    while_installing: list[str] = []

    def rebuilt(trees: Trees, *_: object) -> Trees:
        while_installing.append(checkout.outdated)
        if fails:
            raise JobRunnersError("No answer from the package index")
        return trees

    monkeypatch.setattr(Trees, "rebuilt", rebuilt)
    monkeypatch.setattr(ImportChecker, "check", lambda *_: None)
    monkeypatch.setattr(watcher, "locked", lambda _: None)
    checkout.save("app/requirements.lock", "iniconfig==2.3.0\n")
    (line,) = while_installing
    assert line.startswith("Installing the packages in app/requirements.lock.")
    assert line in checkout.said
    outcome = "The saved code is not active: No answer from the package index" if fails else ""
    assert checkout.outdated == outcome


def test_an_upgrade_under_a_run_asks_only_for_a_new_start(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "IS_INSTALLED", True)
    before, text = checkout.running, (checkout.root / "job_runners/clock.py").read_text()
    for changed in ("x = (", "import nonesuch"):
        checkout.save("job_runners/clock.py", changed)
    checkout.save("template.yaml", "Resources: {}")
    (said,) = checkout.said
    assert said.startswith("Job Runners has another version now. Press Ctrl-C")
    assert checkout.outdated == said
    assert checkout.running == before
    (checkout.root / "template.yaml").write_text("Resources:")
    checkout.save("job_runners/clock.py", text)  # as after an installation of the same version
    assert checkout.outdated == ""


@pytest.mark.more
def test_a_new_requirement_is_active_once_it_is_locked(checkout: Checkout, app: Path) -> None:
    (app / "acme").mkdir(parents=True)
    checkout.save("app/acme/__init__.py", "JOBS = {}")
    checkout.save("app/requirements.txt", "iniconfig\n")
    assert "requirements.lock is missing, and requirements.txt has no hashes" in checkout.outdated
    checkout.save("app/acme/__init__.py", "import iniconfig\nJOBS = {}")
    assert "Add the package that provides iniconfig" in checkout.outdated
    checkout.save("app/acme/__init__.py", "JOBS = {} # as long as it isn't installed")
    assert checkout.said[-1].startswith("Reloaded: acme (")
    (app / "requirements.lock").write_text(REQUIREMENTS)
    checkout.watcher.reload_changes()
    assert any("Installing the packages in app/requirements.lock" in each for each in checkout.said)
    assert checkout.said[-1].startswith("Reloaded: app/requirements.lock, app/requirements.txt (")
    assert (checkout.running / "iniconfig").is_dir()
    assert checkout.outdated == ""
    checkout.save("app/acme/__init__.py", "import iniconfig\nJOBS = {}")
    assert checkout.said[-1].startswith("Reloaded: acme (")


def test_requirements_that_can_t_be_installed_leave_the_code_active(
    checkout: Checkout, app: Path
) -> None:
    (app / "acme").mkdir(parents=True)
    checkout.save("app/acme/__init__.py", "JOBS = {}")
    before = checkout.running
    (app / "requirements.txt").write_text("iniconfig\n")
    (app / "requirements.lock").write_text(REQUIREMENTS.replace("sha256:", "sha256:00"))
    checkout.watcher.reload_changes()
    assert checkout.running == before
    assert "can't be installed for this machine" in checkout.outdated
    assert "stays active" in checkout.said[-1]
    said = len(checkout.said)
    checkout.watcher.reload_changes()
    assert len(checkout.said) == said
    for undone in ("requirements.lock", "requirements.txt"):
        (app / undone).unlink()
    checkout.watcher.reload_changes()
    assert "is the active code again" in checkout.said[-1]
    assert checkout.outdated == ""


def test_a_package_that_is_missing_is_told_with_where_it_belongs(checkout: Checkout) -> None:
    checkout.save("job_runners/shipped/jobs/greet.py", "import nonesuch\n")
    assert (
        "Add the package that provides nonesuch to app/requirements.txt, then run uv pip compile"
        in (checkout.outdated)
    )


def test_saving_is_noticed_without_being_told(checkout: Checkout) -> None:
    thread = Thread(target=checkout.watcher.run)
    thread.start()
    try:
        (checkout.root / "job_runners/shipped/jobs" / "greet.py").write_text("x = 1\n")
        assert _until(lambda: (checkout.running / "job_runners/shipped/jobs" / "greet.py").exists())
    finally:
        checkout.watcher.stop()
        thread.join()


def _until(look: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not (seen := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return seen


def test_every_command_says_that_what_is_saved_is_not_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_aws, "HOME", tmp_path)
    stack = Stack.from_outputs(
        "job-runners", "us-east-1", OUTPUTS | {"ApiId": "abc"}, "http://127.0.0.1:9"
    )
    stack.save(tmp_path / local_aws.STACK_FILE)
    (tmp_path / local_aws.OUTDATED_FILE).write_text("template.yaml has changed")
    for words in (["list"], ["types"], ["show", "3f9a"]):
        assert jobs(*words).stderr.count("template.yaml has changed\n") == 1
    assert "template.yaml" not in jobs("list", "--json").stderr


def test_nobody_waits_for_a_check_once_the_run_is_stopped(checkout: Checkout) -> None:
    thread = Thread(target=checkout.watcher.run)
    thread.start()
    (checkout.root / "job_runners/shipped/jobs" / "slow.py").write_text(
        "import time\ntime.sleep(50)\n"
    )
    assert _until(
        lambda: (checkout.home / CODE_FOLDER / "changed-1" / "job_runners/shipped").exists()
    )
    time.sleep(0.5)
    checkout.watcher.stop()
    checkout.checker.close()
    thread.join(timeout=PATIENCE)
    assert not thread.is_alive()
    assert checkout.said == []
