"""Read and join the dashboard's files, which contain no data, and set their HTTP headers.

A Lambda function serves them, so a browser loads only three files: the page, a style, and a script
that joins all modules. The addresses of the style and the script change when a file changes, so
browsers may cache them for a long time.
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
_STYLES = ("style.css", "job.css", "pages.css")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# The page may run only its own script and call only its own origin. It never parses job data as
# HTML: trusted types would block even an accidental attempt.
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
_KEEP = "public, max-age=31536000, immutable"
_REVALIDATE = "no-cache"  # browsers may cache it, but must revalidate it before each use

# All imports and exports of the modules have these two forms, so that joining needs only text
# replacement.
_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([a-z_]+)\.js";$', re.MULTILINE)
# Browsers don't need comments. The pattern matches comments on lines of their own and at line ends.
_COMMENT = re.compile(
    r"^ *(?://[^\n]*|/\*.*?\*/)\n| // [^\n]*$| /\*[^\n]*\*/$", re.MULTILINE | re.DOTALL
)
# Browsers don't need indentation and empty lines either, nor line ends after these characters and
# spaces around these operators. No string in the modules spans several lines or has such operators.
_SPACE = re.compile(r"^[ \n]+", re.MULTILINE)
_LINE_END = re.compile(r"(?<=[{(\[,;])\n")
_OPERATOR = re.compile(r" (=>|[=!]==|&&|\|\||=) ")
# In styles, they don't need the spaces around these either. A space before a quotation mark stays,
# because a colon before it may be text.
_STYLE_SPACE = re.compile(r"(?<=[{};,])[ \n]| (?=[{}])|(?<=[a-z]:) (?!\")")
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)


@dataclass(frozen=True)
class Asset:
    """A file with its compressed form and its type."""

    body: bytes
    zipped: bytes
    content_type: str
    etag: str

    def headers(self, *, immutable: bool) -> dict[str, str]:
        """Return the HTTP headers.

        `immutable` is True if the address changes whenever the file does, so that browsers may keep
        the file.
        """
        caching = {"Cache-Control": _KEEP if immutable else _REVALIDATE, "ETag": self.etag}
        return {**SECURITY, **caching, "Vary": "Accept-Encoding"}


@cache
def page() -> Asset:
    """Return the page. Its links to the other files contain the version."""
    text = (_FOLDER / "index.html").read_text()
    return _asset(text.replace('"assets/', f'"assets/{version()}/'), ".html")


def find(name: str) -> Asset | None:
    """Return a file other than the page, or None for an unknown name."""
    return _others().get(name)


@cache
def version() -> str:
    """Return the version in the addresses of all files except the page: a hash of the files."""
    digest = hashlib.sha256()
    for name, asset in sorted(_others().items()):
        digest.update(name.encode() + asset.body)
    return digest.hexdigest()[:12]


@cache
def _others() -> dict[str, Asset]:
    styles = "".join((_FOLDER / name).read_text() for name in _STYLES)
    script = _LINE_END.sub("", "".join(_joined(_FIRST_MODULE, set())))
    return {
        "app.js": _asset(_OPERATOR.sub(r"\1", script), ".js"),
        "icon.svg": _asset((_FOLDER / "icon.svg").read_text(), ".svg"),
        "answer.css": _asset((_FOLDER / "answer.css").read_text(), ".css"),
        "style.css": _asset(_STYLE_SPACE.sub("", _bare(styles)), ".css"),
    }


def _joined(module: str, seen: set[str]) -> Iterator[str]:
    """Yield the text of a module after the modules that it imports, each once and in its own
    scope."""
    seen.add(module)
    source = (_FOLDER / f"{module}.js").read_text()
    for _, imported in _IMPORT.findall(source):
        if imported not in seen:
            yield from _joined(imported, seen)
    names = ", ".join(_EXPORT.findall(source))
    body = _EXPORT.sub("", _IMPORT.sub(r"const \1 = $\2;", _bare(source)))
    yield f"const ${module} = (() => {{\n{body}return {{ {names} }};\n}})();\n"


def _bare(source: str) -> str:
    """Return a script or styles without comments and indentation."""
    return _SPACE.sub("", _COMMENT.sub("", source))


def _asset(text: str, suffix: str) -> Asset:
    body = text.encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return Asset(body, gzip.compress(body, mtime=0), _TYPES[suffix], etag)
