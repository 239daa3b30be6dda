"""A private package index on loopback: a folder of files, behind a user name and a password."""

import base64
import contextlib
import hashlib
import re
import shutil
import threading
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

USER, PASSWORD = "acme", "s3cret-word"


@dataclass(frozen=True)
class PackageIndex:
    """The index. `asked` has the paths that were requested with the password."""

    wheels: Path
    port: int
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The address without credentials."""
        return f"http://127.0.0.1:{self.port}/simple/"

    @property
    def url_with_password(self) -> str:
        return self.url.replace("//", f"//{USER}:{PASSWORD}@")


@contextlib.contextmanager
def package_index(wheels: Path) -> Iterator[PackageIndex]:
    """Serve the wheels of a folder until the with statement ends."""
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, wheels, asked))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield PackageIndex(wheels, server.server_port, asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, wheels: Path, asked: list[str], *args: object) -> None:
        self._wheels, self._asked = wheels, asked
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        given = self.headers.get("Authorization", "")
        expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if given != f"Basic {expected}":
            self._answer(401, b"", ("WWW-Authenticate", 'Basic realm="index"'))
            return
        self._asked.append(self.path)
        if found := re.fullmatch(r"/simple/([^/]+)/", self.path):
            self._list(found[1])
        elif (file := self._wheels / Path(self.path).name).is_file():
            self._answer(200, file.read_bytes(), ("Content-Type", "application/octet-stream"))
        else:
            self._answer(404, b"")

    def do_POST(self) -> None:
        """Keep an uploaded file, in the form in which tools publish packages."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        form = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode() + body
        for part in message_from_bytes(form).walk():
            if name := part.get_filename():
                (self._wheels / name).write_bytes(bytes(part.get_payload(decode=True)))
        self._answer(200, b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _list(self, name: str) -> None:
        prefix = name.replace("-", "_") + "-"
        files = [each for each in self._wheels.iterdir() if each.name.lower().startswith(prefix)]
        links = [_link(each, f"/files/{each.name}") for each in sorted(files)]
        text = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>"
        self._answer(200 if links else 404, text.encode(), ("Content-Type", "text/html"))

    def _answer(self, status: int, body: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def index_of_this_environment(folder: Path, real: Iterable[Path] = ()) -> str:
    """Write a package index with a wheel without code for each installed package.

    `real` are wheels to serve instead, of packages whose code is needed.

    uv makes locks from it that have the versions that the tests run with, on every machine and
    without a network. Return its address.
    """
    metadata = {
        (_normalized(each.name), each.version): each.read_text("METADATA") or ""
        for each in distributions()
        if each.name != "job-runners"
    }
    names = {name for name, _ in metadata}
    needed = {need for text in metadata.values() for need in _needed(text)}
    for need in (each for each in needed if _normalized(each.name) not in names):
        version = _version(need)
        facts = f"Metadata-Version: 2.1\nName: {need.name}\nVersion: {version}\n"
        metadata[_normalized(need.name), version] = facts
    complete = {_normalized(each.name.partition("-")[0]): each for each in real}
    for (name, version), text in metadata.items():
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        if name in complete:
            shutil.copy(complete[name], place)
        else:
            _write(place, name, version, "py3-none-any", {}, text)
        (place / "index.html").write_text(
            "\n".join(_link(wheel, wheel.name) for wheel in place.glob("*.whl"))
        )
    return folder.as_uri()


def _needed(metadata: str) -> list[Requirement]:
    """Return what a package needs, also on other machines: a lock is for all of them."""
    lines = re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE)
    return [need for need in map(Requirement, lines) if "extra" not in str(need.marker)]


def _version(need: Requirement) -> str:
    candidates = ("99", *(each.version for each in need.specifier))
    return next(each for each in candidates if need.specifier.contains(each))


def _normalized(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def _link(wheel: Path, address: str) -> str:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f'<a href="{address}#sha256={digest}">{wheel.name}</a>'


def write_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    tag: str = "py3-none-any",
    code: str = "",
    metadata: tuple[str, ...] = (),
) -> Path:
    """Write a wheel with one module. It is the same each time, so that its hash is."""
    facts = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *metadata, ""]
    module = {f"{name.replace('-', '_')}.py": code}
    folder.mkdir(parents=True, exist_ok=True)
    return _write(folder, name, version, tag, module, "\n".join(facts))


def _write(
    folder: Path, name: str, version: str, tag: str, code: dict[str, str], metadata: str
) -> Path:
    stem = f"{_normalized(name).replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    wheel = f"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: {tag}\n"
    files = {**code, f"{info}/METADATA": metadata, f"{info}/WHEEL": wheel}
    record = "".join(f"{each},,\n" for each in [*files, f"{info}/RECORD"])
    path = folder / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(file), text)
    return path


def repacked(name: str, folder: Path) -> Path:
    """Return a wheel of an installed package, with its compiled code and programs."""
    found = distribution(name)
    (tag, *_) = re.findall(r"^Tag: (?!py2)(.*)$", found.read_text("WHEEL") or "", re.MULTILINE)
    stem = f"{_normalized(name).replace('-', '_')}-{found.version}"
    scripts = {each.name for each in found.entry_points}
    wheel = folder / f"{stem}-{tag}.whl"
    written = []
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in found.files or ():
            source, place = Path(str(file.locate())), str(file)
            if ".." in file.parts:
                place = f"{stem}.data/scripts/{file.name}"
            skipped = "__pycache__" in file.parts or file.name in {"RECORD", "direct_url.json"}
            if skipped or not source.is_file() or (".." in file.parts and file.name in scripts):
                continue
            archive.write(source, place)
            written.append(place)
        info = next(each.partition("/")[0] for each in written if ".dist-info/" in each)
        listed = "".join(f"{each},,\n" for each in [*written, f"{info}/RECORD"])
        archive.writestr(f"{info}/RECORD", listed)
    return wheel
