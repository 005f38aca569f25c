"""The files of the browser client are served, whole and alone."""

import re

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from stream_erc.browser import FILES, PAGE, serve_file

MAX_BYTES = 150_000
KINDS = {
    "html": "text/html",
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image",
}


def ask(path, **headers):
    return serve_file(Request(path, Headers(headers)))


def test_every_file_of_the_page_is_served_whole_with_its_kind():
    for path in PAGE.iterdir():
        answer = ask("/" if path.name == "index.html" else f"/{path.name}")
        assert answer.status_code == 200
        assert answer.body == path.read_bytes()
        assert answer.headers["Content-Type"].startswith(KINDS[path.suffix[1:]])
        assert answer.headers["Content-Length"] == str(len(answer.body))


@pytest.mark.parametrize(
    "path",
    [
        "/index.html",
        "/../pages.py",
        "/page/app.js",
        "/%2e%2e/pages.py",
        "/app.js/",
        "//app.js",
        "/app.js\0",
        "",
    ],
)
def test_no_other_path_leads_to_a_file(path):
    assert ask(path) is None


def test_a_query_changes_nothing():
    assert ask("/?token=secret&speaker=Ann").body == ask("/").body


def test_nothing_of_others_is_loaded_or_run():
    for path in FILES:
        headers = ask(path).headers
        policy = dict(
            rule.strip().split(" ", 1)
            for rule in headers["Content-Security-Policy"].split(";")
        )
        assert policy["default-src"] == "'self'"
        assert policy["object-src"] == policy["frame-ancestors"] == "'none'"
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


def test_a_file_that_the_browser_has_is_not_sent_again():
    first = ask("/app.js")
    again = ask("/app.js", **{"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.body) == (304, b"")
    other = ask("/app.js", **{"If-None-Match": '"old"'})
    assert (other.status_code, other.body) == (200, first.body)


def test_the_whole_page_is_small():
    assert sum(len(file.content) for file in FILES.values()) < MAX_BYTES


def test_no_text_is_ever_read_as_html():
    for path, file in FILES.items():
        text = file.content.decode()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|eval\(", text), (
            path
        )


def test_every_name_that_a_script_looks_up_is_in_the_page():
    html = FILES["/"].content.decode()
    known = set(re.findall(r'\bid="([^"]+)"', html))
    scripts = [file.content.decode() for path, file in FILES.items() if ".js" in path]
    asked = re.findall(r'find\("([^"]+)"\)', "".join(scripts))
    assert asked and set(asked) <= known
