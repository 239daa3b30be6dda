"""docs/start/quickstart.md, done as it says, from an installed wheel: its commands and edits, and
what it says that they show."""

import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from job_runners.cli.problem import Exit
from job_runners.places import ROOT
from newcomers import Newcomer

pytestmark = [pytest.mark.e2e, pytest.mark.more, pytest.mark.timeout(900)]

PAGE = (ROOT / "docs" / "start" / "quickstart.md").read_text(encoding="utf-8")
PATIENCE = 240  # seconds, for a command on a busy machine
START = "job-runners run"
# Times, ids, waits and durations, in an escaped pattern.
VARYING = (r"\d\d:\d\d:\d\d", r"\b[0-9a-f]{4}(?=\\ )", r"retries.*", r"[\d.\\]+(?:\\ m)?s\b")


@dataclass(frozen=True)
class Done:
    """A command of the page, and what came of it."""

    command: str
    code: int
    output: str


@dataclass
class Stranger:
    """A person who does what the page says, section after section, with two terminals."""

    newcomer: Newcomer
    log: Path
    job_id: str = ""
    second: subprocess.Popen[bytes] | None = None
    reloaded_after: float = 0.0  # seconds, of the last edit
    done: list[Done] = field(default_factory=list)

    def do(self, title: str) -> list[Done]:
        """Do all that is in a section; return its commands and what came of them."""
        before = len(self.done)
        for language, text in re.findall(r"^```(\w+)\n(.*?)^```", _section(title), re.M | re.S):
            if language == "sh":
                self.type(*text.splitlines())
            elif language != "py":  # shown, not to be written
                {"diff": self._edit, "python": self._write, "text": self._shown}[language](text)
        return self.done[before:]

    def type(self, *lines: str) -> list[Done]:
        """Type these lines into the first terminal; return what came of them."""
        before = len(self.done)
        for line in lines:
            if line == START:
                self._start()
            elif line.startswith("cd "):
                self.newcomer = self.newcomer.inside(line.removeprefix("cd "))
            else:
                self._run(line)
        return self.done[before:]

    @property
    def folder(self) -> Path:
        return self.newcomer.folder

    @property
    def second_terminal(self) -> str:
        """What the command in the second terminal has shown so far."""
        return self.log.read_text(encoding="utf-8")

    def until_second_terminal_says(self, text: str, times: int = 1) -> None:
        """Wait until it is there, this often."""
        deadline = time.monotonic() + PATIENCE
        while self.second_terminal.count(text) < times:
            assert time.monotonic() < deadline, self.second_terminal
            assert self.second is None or self.second.poll() is None, self.second_terminal
            time.sleep(0.05)

    def press_ctrl_c(self) -> None:
        """End the command in the second terminal, if it is up."""
        if self.second is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.second.pid, signal.SIGINT)
            self.second.wait(PATIENCE)
            self.second = None

    @property
    def _environment(self) -> dict[str, str]:
        given = self.newcomer.environment
        return given | {"PATH": f"{self.newcomer.python.parent}{os.pathsep}{given['PATH']}"}

    def _run(self, line: str) -> None:
        ended = subprocess.run(
            ["bash", "-c", re.sub(r"\bID\b", self.job_id[:8], line)],
            cwd=self.folder,
            env=self._environment,
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
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches all of it, and nothing else
            )
        self.until_second_terminal_says("Ctrl-C stops it")

    def _edit(self, diff: str) -> None:
        heading, _, body = diff.partition("\n")
        lines = body.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -").strip("\n")
        new = "".join(line[1:] for line in lines if line[0] in " +").strip("\n")
        file = self.folder / heading.removeprefix("+++ ")
        self._save(file, file.read_text(encoding="utf-8"), old, new)

    def _save(self, file: Path, text: str, old: str, new: str) -> None:
        assert text.count(old) == 1, f"{file} has not this once: {old}"
        before = self.second_terminal.count("Reloaded:") if self.second else 0
        began = time.monotonic()
        file.write_text(text.replace(old, new), encoding="utf-8")
        if self.second:
            self.until_second_terminal_says("Reloaded: acme_words/", before + 1)
            self.reloaded_after = time.monotonic() - began

    def _shown(self, text: str) -> None:
        """Wait until the last command or the second terminal has shown these lines."""
        pattern = re.escape(text.strip("\n"))
        for varies in VARYING:
            pattern = re.sub(varies, lambda _: ".+", pattern)
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, self.done[-1].output + self.second_terminal):
            assert time.monotonic() < deadline, (text, self.done[-1].output, self.second_terminal)
            time.sleep(0.05)

    def _write(self, code: str) -> None:
        named = re.match(r"# (\S+)\n", code)
        assert named, "the code has no name of a file"
        (self.folder / named[1]).write_text(code, encoding="utf-8")


def _section(title: str) -> str:
    section = re.search(rf"^## \d+\. {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    assert section, f"the page has no section {title}"
    return section[1]


@pytest.fixture
def stranger(newcomer: Newcomer, tmp_path: Path) -> Iterator[Stranger]:
    """Yield a person who has installed the wheel, as the first section says."""
    install = r"^pip install '(PATH/job_runners-….whl|job-runners)\[app\]'$"  # or from an index
    assert re.search(install, _section("Install Job Runners"), re.MULTILINE)
    (tmp_path / "acme-words").mkdir()
    made = Stranger(newcomer.inside("acme-words"), tmp_path / "second terminal")
    made.log.touch()
    try:
        yield made
    finally:
        made.press_ctrl_c()


def test_a_stranger_gets_from_a_wheel_to_a_retried_job_by_the_page_alone(
    stranger: Stranger, record_property: Callable[[str, object], None]
) -> None:
    _all_succeed(stranger.do("Create a project"))
    _shows_the_generated_entry(stranger)
    _all_succeed(stranger.do("Write the job"))
    began = time.monotonic()

    _all_succeed(stranger.do("Run it"))
    started = time.monotonic() - began
    *_, shown = _all_succeed(stranger.do("Watch a retry"))
    assert "ConnectionError: the first attempt fails" in shown.output
    assert re.search(r"^attempt +2 of 3", shown.output, re.MULTILINE)
    assert stranger.reloaded_after < 10  # 3 on a machine that does nothing else
    _a_mistake_is_shown_and_not_used(stranger)

    _the_dashboard_is_there(stranger)
    stranger.press_ctrl_c()
    assert not (stranger.folder / ".local").exists()
    record_property(
        "figures",
        f"the quickstart: the local AWS up and a command after {started:.0f} s, a change active "
        f"after {stranger.reloaded_after:.1f} s",
    )


def _shows_the_generated_entry(stranger: Stranger) -> None:
    (entry,) = re.findall(r"```py\n(.*?)```", PAGE, re.DOTALL)
    generated = stranger.folder / "acme_words" / "__init__.py"
    assert entry in generated.read_text(encoding="utf-8")


def _the_dashboard_is_there(stranger: Stranger) -> None:
    assert "## 6. Open the dashboard" in PAGE
    (address,) = re.findall(r"^ *Dashboard +(http\S+)", stranger.second_terminal, re.MULTILINE)
    with urllib.request.urlopen(address, timeout=30) as answer:
        assert b"<title>Job Runners</title>" in answer.read()


def _a_mistake_is_shown_and_not_used(stranger: Stranger) -> None:
    job = stranger.folder / "acme_words" / "count_letters.py"
    whole = job.read_text(encoding="utf-8")
    job.write_text(f"{whole}x = (\n", encoding="utf-8")
    place = f"acme_words/count_letters.py:{len(whole.splitlines()) + 1}: SyntaxError"
    stranger.until_second_terminal_says(place)
    for text in ("Reloaded: acme_words/count_letters.py", "The previous code stays active."):
        assert f"`{text}`" in PAGE
        stranger.until_second_terminal_says(text)
    (listed,) = _all_succeed(stranger.type("job-runners list"))
    assert listed.output.count("count_letters\t") == 2  # and the jobs are kept
    reloads = stranger.second_terminal.count("Reloaded:")
    job.write_text(whole, encoding="utf-8")
    stranger.until_second_terminal_says("Reloaded:", reloads + 1)


def _all_succeed(done: list[Done]) -> list[Done]:
    for each in done:
        assert each.code == Exit.DONE, f"{each.command}\n{each.output}"
    return done
