"""The site: its pages and sections, its generated references, and a build without a warning."""

import inspect
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser

import job_runners
from job_runners import Client, __version__, runners, work
from job_runners.api.routes.table import ROUTES
from job_runners.cli.app import COMMANDS
from job_runners.places import ROOT
from job_runners.work import RunningJob
from tools.site import commands, http_api, pages, python_api


def test_every_page_is_in_one_section() -> None:
    listed = [page for section in pages.sections().values() for page in section]
    assert len(listed) == len(set(listed))
    docs = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert docs - {"docs/index.md"} <= set(listed)


def test_the_sidebar_has_seven_groups_and_fifty_pages_for_users() -> None:
    groups = pages.sections()
    assert list(groups)[-1] == "Contributing"
    users = [page for name, listed in groups.items() if name != "Contributing" for page in listed]
    assert len(groups) == 8
    assert len([page for page in users if page.startswith("docs/")]) <= 60


def test_a_callout_of_github_is_one_of_the_site(tmp_path: Path) -> None:
    text = "Before.\n\n> [!TIP]\n> Do *this*.\n> And that.\n\nAfter.\n"
    shown = pages._for_sphinx(text, "docs/x.md", set(), None)
    assert shown == "Before.\n\n:::{tip}\nDo *this*.\nAnd that.\n:::\n\nAfter.\n"


def test_a_link_to_code_leads_to_the_repository_or_nowhere(tmp_path: Path) -> None:
    for repository, shown in ((None, "(MIT)"), ("https://x.test", "(https://x.test/blob/")):
        pages.write(tmp_path / "pages", repository)
        page = (tmp_path / "pages/CONTRIBUTING.md").read_text()
        assert shown in page
        assert "](LICENSE)" not in page


def test_the_python_reference_has_every_method_of_the_client_and_of_a_job() -> None:
    http_api.document()  # completes the models
    page = python_api.page()
    for name in ("django_task(", "job_options(", "max_attempts(count: int) -> Callable[[F], F]"):
        assert f"\n```python\n{name}" in page
    assert " at 0x" not in page
    for owner in (Client, RunningJob):
        for name in vars(owner):
            if not name.startswith("_") and name != "reached":
                assert f"#### {owner.__name__}.{name}\n" in page
    assert "queue_name: str = 'default'" in page
    assert "| `JobFailed` |" in page


# What these show uses modules of the engine: a runner of an organization's own, and our own code.
OF_THE_ENGINE = ("examples/sqs_runner/", "docs/contributing/")


def imported(text: str) -> Iterator[tuple[str, str]]:
    """Yield the module and the name of each import from a module of ours."""
    statement = r"^ *from job_runners\.?([\w.]*) import (?:\(([^)]*)\)|([^\n(#]+))"
    for module, many, few in re.findall(statement, text, re.MULTILINE):
        for name in re.findall(r"\w+", re.sub(" as .*", "", few) or re.sub("#.*", "", many)):
            yield module, name


def test_the_page_about_runners_says_from_where_they_import() -> None:
    page = (ROOT / "docs/reference/configuration.md").read_text()
    said = page.partition("## A runner of your own")[2]
    for file in (ROOT / "examples/sqs_runner/sqs_runner").glob("*.py"):
        for module, _ in imported(file.read_text()):
            if module not in ("", "errors", "settings", "work"):
                assert f"`job_runners.{module.partition('.')[0]}`" in said, module


def test_the_python_reference_has_the_names_that_are_public_and_no_others() -> None:
    listed: dict[str, set[str]] = {}
    for part in python_api.page().split("\n## "):
        if found := re.search(r"^Import from `job_runners\.?([\w.]*)`", part, re.MULTILINE):
            names = re.findall(r"^(?:### |\| `)(\w+)", part, re.MULTILINE)
            listed[found[1]] = {*names} - {"Errors"}
    for module, public in (("", job_runners), ("work", work), ("runners", runners)):
        assert listed[module] == set(public.__all__), module
    listed[""] |= {"runners", "work"}  # modules
    # What the examples and the pages import.
    files = [*ROOT.glob("docs/**/*.md"), ROOT / "README.md"]
    files += [*ROOT.glob("examples/**/*.py"), *ROOT.glob("job_runners/building/project/*.in")]
    checked = 0
    for file in files:
        if not file.relative_to(ROOT).as_posix().startswith(OF_THE_ENGINE):
            for module, name in imported(file.read_text()):
                assert name in listed[module], (str(file), module, name)
                checked += 1
    assert checked > 100


def test_the_python_reference_has_what_the_clients_methods_return() -> None:
    returned = python_api.page().partition("## What the client returns")[2]
    shown = set(re.findall(r"^### (\w+)$", returned, re.MULTILINE)) | set(job_runners.__all__)
    annotations = " ".join(
        str(inspect.signature(method).return_annotation)
        for name, method in inspect.getmembers(Client, inspect.isfunction)
        if not name.startswith("_")
    )
    classes = set(re.findall(r"\b[A-Z]\w+", annotations)) - {"Any", "Iterator", "None", "Self"}
    assert {"Backlog", "Job", "Timeline"} <= classes
    assert classes <= shown


def test_the_command_reference_has_the_help_of_every_command() -> None:
    page = commands.page()
    for names in COMMANDS.values():
        for name in names:
            assert f"\n## job-runners {name}\n" in page
    assert "\n### job-runners schedules put\n" in page


def test_the_http_reference_has_every_route_with_its_role_and_fields() -> None:
    page = http_api.page()
    for path, methods in ROUTES.items():
        for method, route in methods.items():
            shown = path.translate(str.maketrans("<>", "{}"))
            assert (f"### {method} {shown}\n" in page) == (route.operation is not None)
    dispatch = page.partition("### POST /jobs\n")[2].partition("### ")[0]
    assert "Role: operator." in dispatch
    assert "| `job_type` | Required. The job's type |" in dispatch
    assert "| `queue_name` | The queue" in dispatch  # it has a default
    assert "| `job_id` | path; required | The job's id |" in page
    assert "`unique-conflict`" in dispatch


@pytest.fixture(scope="module")
def built_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the site. `make test MORE=1` makes Sphinx's environment."""
    out = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "tools.site", out],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return out


@pytest.mark.more
def test_the_site_has_pages_a_search_and_files_for_programs(built_site: Path) -> None:
    for page in ("index", "search", "docs/build/queues", "docs/reference/python"):
        text = (built_site / f"{page}.html").read_text()
        assert f"Job Runners {__version__}" in text
        loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]*)"', text)
        assert loaded == []
    assert json.loads((built_site / "openapi.json").read_text())["openapi"] == "3.1.0"
    for link in re.findall(r"\]\((.*)\)", (built_site / "llms.txt").read_text()):
        assert (built_site / link).is_file()


@pytest.fixture
def served(built_site: Path) -> Iterator[str]:
    """Return the address at which the site is served."""
    handler = partial(_Quiet, directory=str(built_site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.more
@pytest.mark.parametrize(
    ("words", "pages"),
    [
        ("retry", {"build/retries"}),
        ("cron job", {"build/schedules"}),
        ("send email", {"recipes/email_once"}),
        ("webhook", {"integrate/follow_ups"}),
        ("deploy", {"operate/deploying"}),
        ("delete old jobs", {"operate/data", "reference/configuration"}),
        ("rate limit", {"build/queues", "recipes/limited_api"}),
        ("environment variables", {"reference/configuration", "build/project"}),
        ("call OpenAI API", {"recipes/llm_call"}),
        ("how much does it cost", {"operate/scale"}),
        ("hello world", {"start/quickstart"}),
        ("roadmap", {"start/status"}),
    ],
)
def test_a_search_has_the_right_page_in_its_first_three_hits(
    served: str, browser: Browser, words: str, pages: set[str]
) -> None:
    shown = browser.new_page()
    shown.goto(f"{served}/docs/start/status.html")
    shown.get_by_label("Search").fill(words)
    shown.keyboard.press("Enter")
    shown.locator("#results li > a").first.wait_for()
    first = shown.locator("#results li:nth-child(-n+3) > a").all()
    found = {re.sub(r"^docs/|\.html.*", "", each.get_attribute("href") or "") for each in first}
    assert found & pages, found
    shown.close()


@pytest.mark.more
def test_a_search_shows_pages_for_contributors_last(served: str, browser: Browser) -> None:
    shown = browser.new_page()
    shown.goto(f"{served}/search.html?q=histories+that+break+promises")
    links = shown.locator("#results li > a")
    links.last.wait_for()
    found = [link.get_attribute("href") or "" for link in links.all()]
    folders = re.compile("CONTRIBUTING|docs/contributing|model|requirements|SECURITY|tests")
    for_contributors = [bool(folders.match(each)) for each in found]
    assert any(for_contributors)
    assert for_contributors == sorted(for_contributors)
    shown.close()


@pytest.mark.more
def test_a_broken_link_fails_the_build(tmp_path: Path) -> None:
    source = tmp_path / "pages"
    pages.write(source)
    for page in source.rglob("*.md"):
        if page.name != "index.md" or page.parent != source:
            page.unlink()
    (source / "index.md").write_text("# Page\n\n[gone](docs/gone.md), [heading](#gone)\n")
    done = subprocess.run(
        [ROOT / ".venv-docs/bin/sphinx-build", "--quiet", "-W", "--keep-going", source, tmp_path],
        env={"SITE_VERSION": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.count("xref_missing") == 2
