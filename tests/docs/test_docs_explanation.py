"""The pages for whoever maintains this: they are whole, and what they name is there."""

import re
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from job_runners.places import ROOT
from job_runners.store.job_request import Status

CONTRIBUTING = ROOT / "docs/contributing"
DECISIONS = CONTRIBUTING / "decisions.md"


def test_each_decision_says_what_was_given_up_on_half_a_page() -> None:
    decisions = DECISIONS.read_text().split("\n## ")[1:]
    assert len(decisions) >= 12
    for decision in decisions:
        assert "*What we gave up.*" in decision, decision
        assert len(decision.split()) < 300, decision


def test_the_glossary_gives_each_word_one_sentence_once() -> None:
    page = (ROOT / "docs/reference/glossary.md").read_text()
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", page, re.MULTILINE)
    words = [word for word, _ in rows if word != "word"]
    assert len(set(words)) == len(words) in range(20, 31)
    for word, meaning in rows:
        if word != "word":
            assert re.fullmatch(r"[^.]+(\.\d[^.]*)*\.", re.sub(r"`[^`]+`", "x", meaning)), word


def test_the_names_in_the_glossary_are_in_the_code() -> None:
    named = re.findall(r"`(\w+)`", (ROOT / "docs/reference/glossary.md").read_text())
    files = [*ROOT.glob("[a-z]*/*.py"), *ROOT.glob("job_runners/**/*.py")]
    code = "\n".join(path.read_text() for path in files)
    assert [name for name in named if not re.search(rf"\b{name}\b", code)] == []


# --- architecture.md, and what the pages name ----------------------------------------------------

ARCHITECTURE = CONTRIBUTING / "architecture.md"
NAMED = [DECISIONS, ARCHITECTURE, ROOT / "CONTRIBUTING.md"]


@pytest.mark.parametrize("page", NAMED, ids=lambda page: page.stem)
def test_every_path_that_a_page_names_is_there(page: Path) -> None:
    paths = re.findall(r"`(\.?[\w-]+(?:/[\w.-]*)+)`", page.read_text())
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_each_stop_of_a_trip_is_a_function_of_its_file() -> None:
    stops = re.findall(r"`([\w/]+\.py)`, `(\w+)`", ARCHITECTURE.read_text())
    assert len(stops) > 20
    gone = [
        (path, name)
        for path, name in stops
        if not re.search(
            rf"^(?:(?:def|class) {name}\b|    def {name}\b|{name}\b.* = )",
            (ROOT / path).read_text(),
            re.MULTILINE,
        )
    ]
    assert gone == []


def test_the_layers_of_the_page_are_those_that_lint_holds() -> None:
    (shown,) = re.findall(r"```\n(bench.*?)\n```", ARCHITECTURE.read_text(), re.DOTALL)
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = [
        each
        for each in config["tool"]["importlinter"]["contracts"]
        if each["type"] == "layers" and "containers" not in each
    ]
    assert shown.splitlines() == contract["layers"]


def test_every_package_is_on_the_page_about_architecture() -> None:
    rows = re.findall(r"^\| (`.+?`) \|", ARCHITECTURE.read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([\w/]+)/`", row)}
    tops = {path.parent.name for path in ROOT.glob("[a-z]*/__init__.py")}
    inner = {
        str(path.parent.relative_to(ROOT))
        for pattern in ("job_runners/[a-z]*", "job_runners/engine/[a-z]*")
        for path in ROOT.glob(f"{pattern}/__init__.py")
        if not path.parent.is_symlink()
    }
    packages = inner | tops
    assert packages - {"job_runners", "tests", "app"} <= named
    assert len(packages) > 20


@pytest.mark.parametrize(
    "folder", ["start", "build", "integrate", "operate", "migrate", "reference"]
)
def test_the_landing_page_links_every_page_for_users(folder: str) -> None:
    linked = set(re.findall(r"\]\((\w+/\w+\.md)\)", (ROOT / "docs/index.md").read_text()))
    pages = {f"{folder}/{path.name}" for path in (ROOT / "docs" / folder).glob("*.md")}
    assert pages <= linked


# --- diagrams -------------------------------------------------------------------------------------


def test_the_diagram_of_the_states_has_each_state_and_only_transitions_of_its_page() -> None:
    texts = re.findall(
        r"<text([^>]*)>(.+?)</text>", (ROOT / "docs/pictures/job_states.svg").read_text()
    )
    states = [words for attributes, words in texts if 'class="name"' in attributes]
    assert sorted(states) == sorted(Status)
    page = (ROOT / "docs/reference/guarantees.md").read_text()
    transitions = set(
        re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.+?) \|", page, re.MULTILINE)))
    )
    arrows = {
        word
        for attributes, words in texts
        if "name" not in attributes
        for word in words.split(", ")
    }
    conditions = {"with a time", "from run_at on", "run_at on", "from", "if asked"}
    assert arrows - conditions <= transitions
    assert {"claim", "requeue", "end_invocation"} <= arrows


@pytest.mark.parametrize(
    "picture", sorted((ROOT / "docs").rglob("*.svg")), ids=lambda path: path.stem
)
def test_a_diagram_is_whole_and_loads_nothing(picture: Path) -> None:
    text = picture.read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert re.findall(r"(?:href|src)=|url\((?!#)|@import", text) == []


def test_no_page_has_a_diagram_that_the_site_could_not_draw() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if "```mermaid" in page.read_text()] == []
