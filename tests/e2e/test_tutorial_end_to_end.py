"""docs/tutorial.md done as it says on a copy of the checkout: its commands, edits and make run."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from job_runners.building.build import CACHE, ROOT
from job_runners.cli.problem import Exit
from local_stack import roomy_home

# It starts a local AWS of its own: beside the one that most tests share, and not beside a third.
pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.xdist_group("local AWS, enforcing")]

PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
PATIENCE = 240  # seconds, for a command on a busy machine
_NOT_COPIED = shutil.ignore_patterns(".*", "app", "docs", "tests", "dist", "__pycache__")
START = "make run DEMO=0"


@dataclass(frozen=True)
class Done:
    """A command of the page, and what came of it."""

    command: str
    code: int
    output: str


@dataclass
class Stranger:
    """Somebody who does what the page says, section after section, with two terminals."""

    folder: Path
    log: Path
    job_id: str = ""
    second: subprocess.Popen[bytes] | None = None
    in_force_after: float = 0.0  # seconds, of the last edit
    done: list[Done] = field(default_factory=list)

    def do(self, title: str) -> list[Done]:
        """Do all that is in a section; return its commands and what came of them."""
        before = len(self.done)
        section = re.search(rf"^## \d+\. {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
        assert section, f"the page has no section {title}"
        for language, text in re.findall(r"^```(\w+)\n(.*?)^```", section[1], re.M | re.S):
            if language == "sh":
                self.type(*text.splitlines())
            else:
                {"diff": self._edit, "python": self._write}[language](text)
        return self.done[before:]

    def type(self, *lines: str) -> list[Done]:
        """Type these lines into the first terminal; return what came of them."""
        before = len(self.done)
        for line in lines:
            if line == START:
                self._start()
            else:
                self._run(line)
        return self.done[before:]

    @property
    def second_terminal(self) -> str:
        """What `make run` has shown so far."""
        return self.log.read_text(encoding="utf-8")

    def until_second_terminal_says(self, text: str, times: int = 1) -> None:
        """Wait until it is there, this often."""
        deadline = time.monotonic() + PATIENCE
        while self.second_terminal.count(text) < times:
            assert time.monotonic() < deadline, self.second_terminal
            assert self.second is None or self.second.poll() is None, self.second_terminal
            time.sleep(0.05)

    def press_ctrl_c(self) -> None:
        """End `make run`, if it is up."""
        if self.second is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.second.pid, signal.SIGINT)
            self.second.wait(PATIENCE)
            self.second = None

    def _run(self, line: str) -> None:
        ended = subprocess.run(
            ["bash", "-c", re.sub(r"\bID\b", self.job_id[:8], line)],
            cwd=self.folder,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        self.done.append(Done(line, ended.returncode, ended.stdout))
        for found in re.findall(r"\b[0-9a-f]{32}\b", ended.stdout):
            self.job_id = found

    def _start(self) -> None:
        with self.log.open("wb") as output:
            self.second = subprocess.Popen(
                ["bash", "-c", f"exec {START}"],
                cwd=self.folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches all of it, and nothing else
            )
        self.until_second_terminal_says("Ctrl-C stops it")

    def _edit(self, diff: str) -> None:
        heading, _, body = diff.partition("\n")
        file = self.folder / heading.removeprefix("+++ ")
        text = file.read_text(encoding="utf-8")
        for hunk in body.split("@@\n"):
            lines = hunk.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -").strip("\n")
            new = "".join(line[1:] for line in lines if line[0] in " +").strip("\n")
            assert text.count(old) == 1, f"{file} has not this once: {old}"
            text = text.replace(old, new)
        before = self.second_terminal.count("Reloaded:") if self.second else 0
        began = time.monotonic()
        file.write_text(text, encoding="utf-8")
        if self.second:
            self.until_second_terminal_says("Reloaded: my_work (", before + 1)
            self.in_force_after = time.monotonic() - began

    def _write(self, code: str) -> None:
        named = re.match(r"# (\S+)\n", code)
        assert named, "the code has no name of a file"
        (self.folder / named[1]).write_text(code, encoding="utf-8")


def _environment() -> dict[str, str]:
    """Return that of a person's terminal: nothing of the tests' own settings."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    return {
        name: value
        for name, value in os.environ.items()
        if name in kept or name.startswith(("UV_", "PIP_", "SSL_"))
    }


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Stranger]:
    """Yield somebody at a copy of the checkout, whose environments are made."""
    with roomy_home() as home:
        folder = home / "job-runners"
        shutil.copytree(ROOT, folder, ignore=_NOT_COPIED)
        _copy_environments(folder, tmp_path)
        (folder / CACHE.name).mkdir()
        for entry in CACHE.iterdir() if CACHE.is_dir() else ():
            (folder / CACHE.name / entry.name).symlink_to(entry)
        made = Stranger(folder, tmp_path / "second terminal")
        try:
            yield made
        finally:
            made.press_ctrl_c()


def _copy_environments(folder: Path, apart: Path) -> None:
    """Give the copy a .venv that it may install into, and the .venv-aws that is here."""
    own = shutil.copytree(
        ROOT / ".venv", apart / ".venv", symlinks=True, copy_function=_link_or_copy
    )
    (folder / ".venv").symlink_to(own)
    (folder / ".venv-aws").mkdir()
    for entry in (ROOT / ".venv-aws").iterdir():
        if entry.name != "made-from":
            (folder / ".venv-aws" / entry.name).symlink_to(entry)
    for name in (".venv", ".venv-aws"):
        made_here = (ROOT / name / "made-from").read_text()
        stamp = folder / name / "made-from"
        stamp.unlink(missing_ok=True)  # the other end of a link stays
        stamp.write_text(made_here.replace(f" {ROOT}\n", f" {folder}\n"))


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another disk
        shutil.copy2(source, target)


def _files(folder: Path) -> dict[str, bytes]:
    """Return the contents of what is ours in a checkout, by path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for entry in folder.iterdir()
        if not entry.name.startswith(".") and entry.name != "app"
        for path in (entry.rglob("*") if entry.is_dir() else [entry])
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_a_stranger_gets_from_nothing_to_a_deployed_stack_by_the_page_alone(
    stranger: Stranger, record_property: Callable[[str, object], None]
) -> None:
    ours = _files(stranger.folder)
    _all_succeed(stranger.do("Write a job"))
    _all_succeed(stranger.do("Add a package"))
    stranger.do("Leave out our example")
    began = time.monotonic()

    types, dispatched = _all_succeed(stranger.do("See it run"))
    started = time.monotonic() - began
    assert "bin/jobs dispatch make_handles" in stranger.second_terminal
    assert "make_handles" in types.output
    assert "post_webhook" in types.output
    assert "import_contacts" not in types.output
    assert _promised("succeeded  100%  2 done") in dispatched.output

    failed, *then = stranger.do("Change it")
    assert failed.code == Exit.JOB_FAILED
    assert _promised("The setting API_KEY doesn't exist under /job-runners/app.") in failed.output
    _all_succeed(then)
    assert stranger.in_force_after < 10  # 3 on a machine that does nothing else
    _a_mistake_is_told_and_puts_nothing_in_force(stranger)

    (logs,) = _all_succeed(stranger.do("Read what it printed"))
    assert _promised("Ada Lovelace is ada-lovelace") in logs.output

    (tested,) = _all_succeed(stranger.do("Test it"))
    assert _promised("2 passed") in tested.output

    _all_succeed(stranger.do("Deploy it"))
    stranger.press_ctrl_c()
    assert not (stranger.folder / ".local").exists()

    now = _files(stranger.folder)
    assert {name for name in ours.keys() | now if ours.get(name) != now.get(name)} == {
        "samconfig.toml"
    }
    shown = "".join(each.output for each in stranger.done) + stranger.second_terminal
    assert "not-so-secret" not in shown
    record_property(
        "figures",
        f"the tutorial: make run up and two commands after {started:.0f} s, a change active "
        f"after {stranger.in_force_after:.1f} s",
    )


def _a_mistake_is_told_and_puts_nothing_in_force(stranger: Stranger) -> None:
    job = stranger.folder / "app" / "my_work" / "make_handles.py"
    whole = job.read_text(encoding="utf-8")
    job.write_text(f"{whole}x = (\n", encoding="utf-8")
    place = f"app/my_work/make_handles.py:{len(whole.splitlines()) + 1}: SyntaxError"
    stranger.until_second_terminal_says(place)
    stranger.until_second_terminal_says("The previous code stays active.")
    (listed,) = _all_succeed(stranger.type("bin/jobs list"))
    assert f"The saved code is not active: {place}" in listed.output
    assert listed.output.count("make_handles\t") == 3  # and the jobs are kept
    dispatched = "bin/jobs dispatch make_handles items:='[\"Ada Lovelace\"]' --watch"
    _all_succeed(stranger.type(dispatched))
    job.write_text(whole, encoding="utf-8")
    stranger.until_second_terminal_says("is the active code again")


def _all_succeed(done: list[Done]) -> list[Done]:
    for each in done:
        assert each.code == Exit.DONE, f"{each.command}\n{each.output}"
    return done


def _promised(text: str) -> str:
    """Return what the page says that one sees."""
    assert f"`{text}`" in PAGE, f"the page does not say {text}"
    return text
