"""The dashboard's files, each with the headers a browser is to have it with. None holds any data.

They are served by a Lambda function, so what loads the page is three files: a page, a style and a
script, which is every module joined. A deploy changes their address, so they are kept for long.
"""

import gzip
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "assets"
_FIRST_MODULE = "app"
_STYLES = ("style.css", "job.css")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# The page may run its own script and talk to its own origin. It never takes what jobs carry for
# HTML; should it ever, by a mistake, trusted types refuse that.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
SECURITY = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
}
_FOR_LONG = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"  # may be kept, but never used without asking

# The modules keep to these two forms, so that joining them only takes replacing text.
_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([a-z_]+)\.js";$', re.MULTILINE)
# Comments are for readers of the sources, not for browsers: whole lines, and ends of lines.
_COMMENT = re.compile(
    r"^ *(?://[^\n]*|/\*.*?\*/)\n| // [^\n]*$| /\*[^\n]*\*/$", re.MULTILINE | re.DOTALL
)
# Nor do they need these: no string of the modules goes over several lines.
_SPACE = re.compile(r"^[ \n]+", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)


@dataclass(frozen=True)
class Asset:
    """A file as it is served."""

    body: bytes
    zipped: bytes
    content_type: str
    etag: str

    def headers(self, *, kept: bool) -> dict[str, str]:
        """Return the headers it is served with; `kept` if its address changes whenever it does."""
        caching = {"Cache-Control": _FOR_LONG if kept else _ASK_AGAIN, "ETag": self.etag}
        return {**SECURITY, **caching, "Vary": "Accept-Encoding"}


@cache
def page() -> Asset:
    """Return the page itself, which names the other files by their version."""
    text = (_FOLDER / "index.html").read_text()
    return _asset(text.replace('"assets/', f'"assets/{version()}/'), ".html")


def find(name: str) -> Asset | None:
    """Return another file by its name; None if there is none."""
    return _others().get(name)


@cache
def version() -> str:
    """Return the version in the address of every file but the page; it changes with any of them."""
    digest = hashlib.sha256()
    for name, asset in sorted(_others().items()):
        digest.update(name.encode() + asset.body)
    return digest.hexdigest()[:12]


@cache
def _others() -> dict[str, Asset]:
    styles = "".join((_FOLDER / name).read_text() for name in _STYLES)
    return {
        "app.js": _asset("".join(_joined(_FIRST_MODULE, set())), ".js"),
        "icon.svg": _asset((_FOLDER / "icon.svg").read_text(), ".svg"),
        "docs.css": _asset((_FOLDER / "docs.css").read_text(), ".css"),
        "style.css": _asset(_bare(styles), ".css"),
    }


def _joined(module: str, seen: set[str]) -> Iterator[str]:
    """Yield a module after all that it imports, each once and in a scope of its own."""
    seen.add(module)
    source = (_FOLDER / f"{module}.js").read_text()
    for _, imported in _IMPORT.findall(source):
        if imported not in seen:
            yield from _joined(imported, seen)
    names = ", ".join(_EXPORT.findall(source))
    body = _EXPORT.sub("", _IMPORT.sub(r"const \1 = $\2;", _bare(source)))
    yield f"const ${module} = (() => {{\n{body}return {{ {names} }};\n}})();\n"


def _bare(source: str) -> str:
    """Return a script or styles without what only their readers need."""
    return _SPACE.sub("", _COMMENT.sub("", source))


def _asset(text: str, suffix: str) -> Asset:
    body = text.encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return Asset(body, gzip.compress(body, mtime=0), _TYPES[suffix], etag)
