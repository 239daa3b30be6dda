"""The guide about Django's tasks: its project is made as it says, and its code runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

from job_runners.django.backend import OPTIONS
from job_runners.places import ROOT

GUIDE = (ROOT / "docs/integrate/django.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)

TEST = """
import os

import pytest
from job_runners.testing.saved_jobs import assert_succeeded


@pytest.fixture
def job_settings():
    return {"APP_SETTING_SECRET_KEY": "of the stack"}


@pytest.fixture(autouse=True)
def site(job_runner):
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "website.settings"
    django.setup()


def test_a_task_of_the_guide_runs(job_runner):
    from django.conf import settings
    from shop.tasks import count_letters

    assert settings.SECRET_KEY == "of the stack"
    result = count_letters.enqueue(["ada", "grace"])
    job_runner.drain()
    result.refresh()
    assert (result.status, result.return_value) == ("SUCCESSFUL", {"ada": 3, "grace": 5})
    from job_runners.store import queries

    assert queries.read(result.id).max_attempts == 3


def test_its_schedule_calls_the_task(job_runner):
    import shop_site

    assert shop_site.RECURRING["nightly"].job_type == "count_nightly"
    assert assert_succeeded(job_runner.run("count_nightly")) == {"ada": 3}


def test_its_block_with_a_key_enqueues_once(job_runner):
    ids = set()
    for _ in range(2):
        names = {}
        exec(KEYED, {"count_letters": Noted(ids)}, names)
    assert len(ids) == 1


class Noted:
    def __init__(self, ids):
        self.ids = ids

    def enqueue(self, words):
        from shop.tasks import count_letters

        self.ids.add(count_letters.enqueue(words).id)
"""


def snippet(begins: str) -> str:
    """Return the only code of the guide that begins with this text."""
    found: str
    [found] = [each for each in PYTHON if each.startswith(begins)]
    return found


def test_the_project_of_the_guide_runs_its_task(tmp_path: Path) -> None:
    def django_command(*arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "django", *arguments], cwd=tmp_path, env=environment, check=True
        )

    environment = {name: value for name, value in os.environ.items() if "DJANGO" not in name}
    django_command("startproject", "website", ".")
    django_command("startapp", "shop")
    keyed = snippet("from job_runners.django import job_options")
    texts = {
        "shop/tasks.py": snippet("# shop/tasks.py"),
        "shop_site/__init__.py": snippet("# shop_site/__init__.py\n")
        + snippet("# shop_site/__init__.py, in addition"),
        "tests/test_guide.py": f"KEYED = {keyed!r}\n{TEST}",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with (tmp_path / "website/settings.py").open("a") as settings:
        settings.write(snippet("# website/settings.py, at its end"))
        settings.write(snippet("# website/settings.py\n"))
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--quiet", "-p", "job_runners.testing.plugin"),
            *("-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path / "tests"),
        ],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": path, "JOBS_PROJECT": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_the_guide_lists_every_option() -> None:
    table = GUIDE.split("### Options")[1].split("## ")[0]
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE)) == set(OPTIONS)
    names: dict[str, dict[str, object]] = {}
    exec(snippet("WAGTAIL ="), names)
    assert names["WAGTAIL"].keys() <= OPTIONS.keys()


def test_the_statement_allows_what_the_site_calls() -> None:
    [text] = re.findall(r"needs `execute-api:Invoke`.*?, on (.*?)\. ", GUIDE, re.DOTALL)
    # enqueue, a result by its key, a result by its id, check --deploy
    assert re.findall(r"`(.*?)`", text) == ["POST/jobs", "GET/jobs", "GET/jobs/*", "GET/job-types"]
