"""Read and join the dashboard's files, which contain no data, and set their HTTP headers.

A Lambda function serves the files, so a browser should load only a few of them: the page, a style
sheet, and one script that is joined from all JavaScript modules. The addresses of the style sheet
and the script change when a file changes, so browsers may cache them for a long time.

To make the files smaller, comments and most whitespace are removed by text replacement. This works
because our modules and style sheets keep to a few simple forms.
"""

import gzip
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "assets"
_FIRST_MODULE = "app"  # it imports all others, directly or indirectly
_STYLES = ("style.css", "job.css", "pages.css")
_CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# The page may run only its own script and call only its own origin. It never parses job data as
# HTML, because trusted types block even an accidental attempt.
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
SECURITY_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
}
_CACHE_FOREVER = "public, max-age=31536000, immutable"
_REVALIDATE = "no-cache"  # browsers may cache it, but must revalidate it before each use

# All imports and exports of the modules have these two forms, so that modules can be joined by text
# replacement.
_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([a-z_]+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)
# Browsers don't need comments. The pattern matches comments on lines of their own and at line ends.
_COMMENT = re.compile(
    r"^ *(?://[^\n]*|/\*.*?\*/)\n| // [^\n]*$| /\*[^\n]*\*/$", re.MULTILINE | re.DOTALL
)
# Browsers don't need indentation, empty lines, line ends after these characters, or spaces around
# these operators. The replacement is safe because no string in the modules spans several lines or
# contains such an operator.
_INDENTATION = re.compile(r"^[ \n]+", re.MULTILINE)
_LINE_END = re.compile(r"(?<=[{(\[,;])\n")
_OPERATOR = re.compile(r" (=>|[=!]==|&&|\|\||=) ")
# In style sheets, browsers don't need spaces around these characters either. A space between a
# colon and a quotation mark stays, because the colon may be part of a text.
_STYLE_SPACE = re.compile(r"(?<=[{};,])[ \n]| (?=[{}])|(?<=[a-z]:) (?!\")")


@dataclass(frozen=True)
class Asset:
    """A file of the dashboard, as it is and compressed."""

    body: bytes
    zipped: bytes
    content_type: str
    etag: str

    def headers(self, *, immutable: bool) -> dict[str, str]:
        """Return the HTTP headers. A file is immutable if its address changes whenever it does."""
        return {
            **SECURITY_HEADERS,
            "Cache-Control": _CACHE_FOREVER if immutable else _REVALIDATE,
            "ETag": self.etag,
            "Vary": "Accept-Encoding",
        }


@cache
def page() -> Asset:
    """Return the page. Its links to the other files contain the version of the files."""
    text = (_FOLDER / "index.html").read_text()
    return _asset(text.replace('"assets/', f'"assets/{version()}/'), ".html")


def find(name: str) -> Asset | None:
    """Return a file other than the page, or None for an unknown name."""
    return _assets().get(name)


@cache
def version() -> str:
    """Return the version in the addresses of all files except the page: a hash of the files."""
    digest = hashlib.sha256()
    for name, asset in sorted(_assets().items()):
        digest.update(name.encode() + asset.body)
    return digest.hexdigest()[:12]


@cache
def _assets() -> dict[str, Asset]:
    """Return all files except the page, by name."""
    script = "".join(_read_modules(_FIRST_MODULE, set()))
    script = _OPERATOR.sub(r"\1", _LINE_END.sub("", script))
    styles = "".join((_FOLDER / name).read_text() for name in _STYLES)
    styles = _STYLE_SPACE.sub("", _strip(styles))
    return {
        "app.js": _asset(script, ".js"),
        "icon.svg": _asset((_FOLDER / "icon.svg").read_text(), ".svg"),
        "answer.css": _asset((_FOLDER / "answer.css").read_text(), ".css"),
        "style.css": _asset(styles, ".css"),
    }


def _read_modules(module: str, seen: set[str]) -> Iterator[str]:
    """Yield the code of the modules that a module imports, and then its own code, each only once.

    The code of the module `dom` becomes `const $dom = (() => { ... })();`. The function gives it a
    scope of its own, and returns its exports.
    """
    seen.add(module)
    source = (_FOLDER / f"{module}.js").read_text()
    for _, imported in _IMPORT.findall(source):
        if imported not in seen:
            yield from _read_modules(imported, seen)
    exported_names = ", ".join(_EXPORT.findall(source))
    body = _IMPORT.sub(r"const \1 = $\2;", _strip(source))
    body = _EXPORT.sub("", body)
    yield f"const ${module} = (() => {{\n{body}return {{ {exported_names} }};\n}})();\n"


def _strip(source: str) -> str:
    """Return a script or a style sheet without comments and indentation."""
    return _INDENTATION.sub("", _COMMENT.sub("", source))


def _asset(text: str, suffix: str) -> Asset:
    body = text.encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return Asset(body, gzip.compress(body, mtime=0), _CONTENT_TYPES[suffix], etag)
