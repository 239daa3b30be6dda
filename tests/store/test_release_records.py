"""The record of each version has everything that its code stores and sends, and stays as it is."""

import ast
import base64
import json
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import record_release
import released_code
from job_runners import __version__
from job_runners.engine.wire.messages import decode
from job_runners.places import ROOT
from job_runners.store import past, pauses
from job_runners.store.job_request import JobRequest, Lane
from job_runners.store.table import CoordinationItem, Enumerated, Table
from job_runners.work.files import FOLDERS
from released_code import (
    RECORDED,
    RELEASED,
    VERSIONS,
    changed,
    changed_code,
    is_dated,
    unpack,
    unreleased_texts,
)
from replayed import Release

# Recording takes seconds, so one process runs all of these tests.
pytestmark = pytest.mark.xdist_group("today's release")

STORE = ROOT / "job_runners" / "store"
# Words of messages, which look like a kind of record with a name.
WORDS = {
    *("attempt ", "every ", "is ", "job ", "module ", "send ", "settle ", "task ", "the "),
}
NEVER_STORED = {"follows"}  # a request that gets this has a job of its own, and no answer
for _file in STORE.rglob("*.py"):  # so that all models are known
    import_module(".".join(_file.relative_to(ROOT).with_suffix("").parts))
MODELS: list[type[CoordinationItem]] = [
    model for model in CoordinationItem.__subclasses__() if not model.__name__.startswith("_")
]


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Record what the code of the day stores and sends."""
    folder = tmp_path_factory.mktemp("records") / "today"
    record_release.record_to(folder)
    return Release(folder)


def items(release: Release) -> list[Any]:
    found: list[Any] = release.read("tables")["COORDINATION_TABLE_NAME"]
    return found


def texts(*folders: str) -> Iterator[str]:
    """Yield the texts in the code of some packages: constants, and the parts of f-strings."""
    for folder in folders:
        for file in (ROOT / "job_runners" / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


# --- it is complete -------------------------------------------------------------------------------


def test_every_kind_of_item_that_the_code_names_is_recorded(today: Release) -> None:
    kinds = {
        each for each in texts("store", "engine", "work") if re.fullmatch("[a-z_-]+[# ]", each)
    }
    assert {"step#", "open#", "act ", "invocations "} <= kinds
    stored = [item[key]["S"] for item in items(today) for key in ("pk", "sk")]
    missing = {kind for kind in kinds if not any(each.startswith(kind) for each in stored)}
    assert missing == WORDS


def test_every_attribute_of_every_model_is_recorded(today: Release) -> None:
    for model in MODELS:
        names = model.get_attributes().keys()
        # Items of another model may count too, if they have only attributes that this one has.
        found = {name for item in items(today) if item.keys() <= names for name in item}
        assert (model.__name__, names - found) == (model.__name__, set())
    rows = {name for item in today.items for name in item}
    assert JobRequest.get_attributes().keys() - rows == set()


def test_every_value_of_an_attribute_that_has_few_is_recorded(today: Release) -> None:
    checked = 0
    stored_as: dict[type[Table], list[Any]] = {JobRequest: today.items}
    stored_as |= {each: items(today) for each in MODELS}
    for model, stored in stored_as.items():
        names = model.get_attributes().keys()
        for name, attribute in model.get_attributes().items():
            if isinstance(attribute, Enumerated):
                found = {each[name]["S"] for each in stored if name in each.keys() <= names}
                values = {str(each) for each in attribute.enum}
                assert found == values - NEVER_STORED, (model, name)
                checked += 1
    assert checked >= 3
    shards = {item["due_shard"]["S"] for item in today.items if "due_shard" in item}
    assert {each.rstrip("0123456789") for each in shards} == {str(each) for each in Lane}
    entries = [item["past"]["B"] for item in today.items if "past" in item]
    ended = [each for packed in entries for each in past.unpack(base64.b64decode(packed))]
    assert {each.outcome for each in ended} == set(past.Outcome)
    paused = {item["sk"]["S"] for item in items(today) if item["pk"]["S"] == "paused"}
    assert {each.partition("#")[0] for each in paused} == {str(each) for each in pauses.Kind}


def test_every_folder_of_the_bucket_is_recorded(today: Release) -> None:
    folders = {each for each in texts("store") if re.fullmatch("[a-z]+/", each)}
    assert folders == {"partial/", "payloads/", "results/"}
    kinds = {each for each in texts("store") if re.fullmatch("/[a-z]+", each)}
    assert kinds == {"/signals", "/steps"}
    keys = today.read("objects").keys()
    for folder in (*folders, *(f"{each}/" for each in FOLDERS)):
        assert any(each.startswith(folder) for each in keys), folder
    for kind in (*kinds, "/orders.csv"):  # also the files of jobs
        assert any(kind in each for each in keys if each.startswith("partial/")), kind


def test_every_field_of_every_message_is_recorded(today: Release) -> None:
    events = [json.loads(each["body"]) for each in today.read("messages")]
    missing = {(type(message), name) for message in map(decode, events) for name in message._fields}
    assert len({message for message, _ in missing}) == 3
    for event in events:
        missing -= {(type(decode(event)), name) for name in event}
    assert missing == set()


# --- it is what the code records, and stays so ----------------------------------------------------


@pytest.mark.parametrize("version", RECORDED)
def test_a_version_records_what_it_has_recorded(
    version: str, today: Release, tmp_path: Path
) -> None:
    """The code that was kept does so for a version that is released, and today's for the other."""
    again = tmp_path / "again"
    if version in VERSIONS:
        code = unpack(RELEASED / version, tmp_path / "code")
        program = code / "tests" / "support" / "record_release.py"
        subprocess.run([sys.executable, program, again], cwd=tmp_path, check=True, timeout=120)
    else:
        assert version == __version__, "an earlier version that isn't released has a record"
        again = today.folder
    repeat = "run .venv/bin/python tests/support/record_release.py, and look at the changes"
    assert normalized(again) == normalized(RELEASED / version), repeat


def normalized(folder: Path) -> dict[str, Any]:
    """Return what the files of a record say, in the same way on every machine."""
    return {file.name: _plain(json.loads(file.read_text())) for file in folder.glob("*.json")}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        # Tracebacks differ between versions of Python.
        return {name: _plain(each) for name, each in value.items() if name != "traceback"}
    if not isinstance(value, str):
        return value
    if value.startswith(("{", "[")):
        return _plain(json.loads(value))
    try:
        return _plain(zlib.decompress(base64.b64decode(value, validate=True)).decode())
    except (ValueError, zlib.error):
        return value


def test_the_code_of_a_released_version_stays_as_it_is() -> None:
    """A later change needs another version: otherwise, one version would have two builds."""
    if is_dated(__version__):
        assert __version__ in VERSIONS, "record it with tests/support/record_release.py"
        assert changed_code(ROOT, RELEASED / __version__) == []


def test_no_release_has_changed_since_it_was_recorded() -> None:
    assert changed() == []


@pytest.fixture
def dated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give this version a date and no pages, and return the empty folder of the releases."""
    folder = tmp_path / "released"
    folder.mkdir()
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text(f"# Changes\n\n## {__version__} (2026-12-01)\n")
    monkeypatch.setattr(released_code, "RELEASED", folder)
    monkeypatch.setattr(released_code, "CHANGELOG", changelog)
    monkeypatch.setattr(record_release, "RELEASED", folder)
    monkeypatch.setattr(record_release, "unreleased_texts", lambda: unreleased_texts(tmp_path))
    return folder


@pytest.fixture
def released(dated: Path) -> Path:
    """Release today's code in a folder, as record_release.py does."""
    record_release.main()
    return dated


def test_a_version_is_not_sealed_while_a_page_calls_it_unreleased(
    dated: Path, tmp_path: Path
) -> None:
    (tmp_path / "README.md").write_text("# Jobs\n\nInstall the wheel.\n")
    with pytest.raises(SystemExit, match=r"README.md:3: Install the wheel\.$"):
        record_release.main()
    assert list(dated.iterdir()) == []


def test_a_released_version_is_sealed_and_a_later_change_is_named(released: Path) -> None:
    with pytest.raises(SystemExit, match=f"{__version__} is released.* you may delete"):
        record_release.main()
    assert changed(released) == []
    release = released / __version__
    with (release / "messages.json").open("a") as messages:
        messages.write("\n")
    (release / "time.json").unlink()
    (release / "more.json").write_text("{}")
    names = ("messages.json", "more.json", "time.json")
    assert changed(released) == [f"{__version__}/{name}" for name in names]


def test_the_code_that_is_kept_is_the_code_of_the_checkout(released: Path, tmp_path: Path) -> None:
    release = released / __version__
    assert changed_code(ROOT, release) == []
    code = unpack(release, tmp_path / "code")
    (code / "runners" / "late.py").write_text("")
    texts = ("CHANGELOG.md", "LICENSE", "README.md", "requirements/runtime.txt", "template.yaml")
    for name in texts:
        (code / name).write_text("")
    with (code / "pyproject.toml").open("a") as project:
        project.write("# changed\n")
    assert changed_code(code, release) == sorted([*texts, "pyproject.toml", "runners/late.py"])
    # It records the same, from the program that is kept with it.
    again = tmp_path / "again"
    shutil.rmtree(code)
    program = unpack(release, code) / "tests" / "support" / "record_release.py"
    subprocess.run([sys.executable, program, again], cwd=tmp_path, check=True, timeout=120)
    assert normalized(again) == normalized(release)
