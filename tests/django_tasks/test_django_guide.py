"""The guide about Django's tasks: its project is made as it says, and its code runs."""

import re
from pathlib import Path

from django_tests import GUIDE, manage, run_tests, snippet
from job_runners.django.backend import OPTIONS

TEST = """
import os
import subprocess
import sys

from job_runners.testing.saved_jobs import assert_succeeded
from shop.tasks import count_letters


def test_a_task_of_the_guide_runs(job_runner):
    result = count_letters.enqueue(["ada", "grace"])
    job_runner.drain()
    result.refresh()
    assert (result.status, result.return_value) == ("SUCCESSFUL", {"ada": 3, "grace": 5})
    from job_runners.store import queries

    assert queries.read(result.id).max_attempts == 3


def test_a_worker_reads_the_secret_of_the_stack():
    code = "import shop_site; from django.conf import settings; print(settings.SECRET_KEY)"
    environment = {**os.environ, "APP_SETTING_SECRET_KEY": "of the stack"}
    del environment["SECRET_KEY"]
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, env=environment) == b"of the stack\\n"


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
        self.ids.add(count_letters.enqueue(words).id)
"""


def test_the_project_of_the_guide_runs_its_task(tmp_path: Path) -> None:
    for arguments in (["startproject", "website", "."], ["startapp", "shop"]):
        done = manage(tmp_path, *arguments)
        assert done.returncode == 0, done.stderr
    with (tmp_path / "website/settings.py").open("a") as settings:
        settings.write(snippet("# website/settings.py, at its end"))
        settings.write(snippet("# website/settings.py\n"))
    keyed = snippet("from job_runners.django import job_options")
    texts = {
        "shop/tasks.py": snippet("# shop/tasks.py"),
        "shop_site/__init__.py": "JOBS = {}\n"
        + snippet("# shop_site/__init__.py, at its end\n")
        + snippet("# shop_site/__init__.py, for a schedule"),
        "tests/conftest.py": snippet("# tests/conftest.py"),
        "tests/test_guide.py": f"KEYED = {keyed!r}\n{TEST}",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    output = run_tests(tmp_path)
    assert "4 passed" in output, output


def test_the_guide_is_short_and_lists_every_option() -> None:
    assert len(GUIDE.split()) <= 1_100
    table = GUIDE.split("### Options")[1].split("## ")[0]
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", table, re.MULTILINE)) == set(OPTIONS)
    names: dict[str, dict[str, object]] = {}
    exec(snippet("WAGTAIL ="), names)
    assert names["WAGTAIL"].keys() <= OPTIONS.keys()


def test_the_statement_allows_what_the_site_calls() -> None:
    [text] = re.findall(r"needs `execute-api:Invoke`.*?, on (.*?)\. ", GUIDE, re.DOTALL)
    # enqueue, a result by its key, a result by its id, check --deploy
    assert re.findall(r"`(.*?)`", text) == ["POST/jobs", "GET/jobs", "GET/jobs/*", "GET/job-types"]
