"""The dashboard's files as the API serves them: small, kept, and with little that they may do."""

import base64
import gzip
import re
from typing import Any, cast

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext
from playwright.sync_api import Page

from api_events import request
from job_runners.dashboard import files
from job_runners.places import ROOT

OPERATOR = r" (=>|[=!]==|&&|\|\||=) "
SOURCES = sorted((ROOT / "job_runners/dashboard/assets").iterdir())


def get(path: str, **headers: str) -> dict[str, Any]:
    """Return what the API's function returns for a path that needs no caller."""
    from job_runners.handlers import api

    sent = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    return api.handler(request("GET", path, headers=sent), cast(LambdaContext, None))


def addresses() -> list[str]:
    """Return the addresses of the files that the page names."""
    return ["/" + each for each in re.findall(r'"(assets/[^"]+)"', get("/")["body"])]


def test_the_page_and_its_files_are_served_to_all() -> None:
    types = [get(path)["headers"]["Content-Type"] for path in ("/", *addresses())]
    assert types == [
        "text/html; charset=utf-8",
        "image/svg+xml",
        "text/css; charset=utf-8",
        "text/javascript; charset=utf-8",
    ]


def test_first_paint_takes_less_than_154_kb() -> None:
    """Zipped, the causes of waits took it above 44, and above 45 those of queues with limits."""
    bodies = [get(path)["body"].encode() for path in ("/", *addresses())]
    assert sum(map(len, bodies)) < 154_000
    assert sum(len(gzip.compress(body)) for body in bodies) < 45_300


def test_no_string_of_a_module_goes_over_several_lines() -> None:
    """What is joined loses its indentation, which would change such a string."""
    for path in SOURCES:
        if path.suffix == ".js":
            odd = [line for line in path.read_text().splitlines() if line.count("`") % 2]
            assert odd == [], path.name


def test_no_string_of_a_module_looks_like_a_comment() -> None:
    """What is joined loses its comments, those at the ends of lines too."""
    for path in SOURCES:
        for line in path.read_text().splitlines():
            before, mark, _ = line.partition(" // ")
            assert not mark or all(before.count(each) % 2 == 0 for each in '"`'), path.name


def test_no_string_of_a_module_has_an_operator() -> None:
    """What is joined loses the spaces around these, which would change such a string."""
    for path in SOURCES:
        for line in path.read_text().splitlines() if path.suffix == ".js" else ():
            texts = re.findall(r'"[^"]*"', line) + re.sub(r"\$\{.*\}", "", line).split("`")[1::2]
            assert not any(re.search(OPERATOR, each) for each in texts), path.name


@pytest.mark.parametrize("path", ["/", "/assets/x/app.js", "/assets/x/style.css"])
def test_nothing_may_run_but_the_pages_own_script(path: str) -> None:
    headers = get(path)["headers"]
    policy = dict(each.split(" ", 1) for each in headers["Content-Security-Policy"].split("; "))
    assert policy.pop("default-src") == "'none'"
    assert {policy.pop(name) for name in ("base-uri", "form-action", "frame-ancestors")} == {
        "'none'"
    }
    assert (policy.pop("require-trusted-types-for"), policy.pop("trusted-types")) == (
        "'script'",
        "'none'",
    )
    assert {*policy.values()} == {"'self'"}
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_a_file_is_kept_until_a_deploy_changes_its_address() -> None:
    for path in addresses():
        headers = get(path)["headers"]
        assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert headers["ETag"]
    for path in ("/", "/assets/another/app.js"):
        assert get(path)["headers"]["Cache-Control"] == "no-cache"


def test_a_browser_that_has_it_is_not_sent_it_again() -> None:
    etag = get("/")["headers"]["ETag"]
    answer = get("/", If_None_Match=etag)
    assert (answer["statusCode"], answer["body"]) == (304, "")
    assert get("/", If_None_Match='"another"')["statusCode"] == 200


def test_a_browser_that_can_unzip_is_sent_less() -> None:
    plain, zipped = (
        get(addresses()[-1], **headers) for headers in ({}, {"Accept_Encoding": "br, gzip"})
    )
    assert zipped["headers"]["Content-Encoding"] == "gzip"
    assert zipped["headers"]["Vary"] == "Accept-Encoding"
    assert gzip.decompress(base64.b64decode(zipped["body"])).decode() == plain["body"]


def test_a_file_that_is_not_there_is_404() -> None:
    for path in ("/assets/x/other.js", "/assets/x/..%2f__init__.py", "/assets/app.js"):
        assert get(path)["statusCode"] == 404


def test_every_module_is_in_the_one_script() -> None:
    script = files.find("app.js")
    assert script is not None
    modules = {path.stem for path in SOURCES if path.suffix == ".js"}
    assert {*re.findall(r"const \$(\w+)=\(\(\)=>", script.body.decode())} == modules
    assert not re.search(r"(^|[{;,])(import|export)\b", script.body.decode(), re.MULTILINE)


def test_the_script_is_the_sources_without_their_comments_and_indentation() -> None:
    script = files.find("app.js")
    assert script is not None
    sent = script.body.decode()
    assert [line for line in sent.splitlines() if re.match(r" *(//|/\*|\* )", line)] == []
    for path in SOURCES:
        if path.suffix == ".js":
            without = re.sub(
                r"^ *(//.*|/\*\*[^*]*(\*(?!/)[^*]*)*\*/)\n", "", path.read_text(), flags=re.M
            )
            lines = [line.partition(" // ")[0] for line in without.splitlines()]
            code = [line.removeprefix("export ").strip() for line in lines]
            own = "".join(line for line in code if not line.startswith("import "))
            assert re.sub(OPERATOR, r"\1", own) in sent.replace("\n", ""), path.name


@pytest.mark.e2e
def test_the_styles_are_the_sources_without_their_spaces(page: Page) -> None:
    sent = files.find("style.css")
    assert sent is not None
    folder, names = SOURCES[0].parent, ("style.css", "job.css", "pages.css")
    rules = """text => {
        const sheet = new CSSStyleSheet();
        sheet.replaceSync(text);
        return [...sheet.cssRules].map(each => each.cssText);
    }"""
    read = page.evaluate(rules, "".join((folder / name).read_text() for name in names))
    assert len(read) > 100
    bare = [each.replace(", ", ",") for each in page.evaluate(rules, sent.body.decode())]
    assert bare == [each.replace(", ", ",") for each in read]


def test_nothing_is_asked_of_another_site() -> None:
    for path in SOURCES:
        named = re.findall(r"https?://[^\s\"'`/]+", path.read_text())
        assert {*named} <= {"http://www.w3.org"}, path.name  # the name of SVG


def test_no_source_makes_html_of_text() -> None:
    ways = r"(inner|outer|Adjacent)HTML|document\.write|DOMParser|srcdoc|\beval\(|new Function"
    for path in SOURCES:
        assert not re.search(ways, path.read_text()), path.name
