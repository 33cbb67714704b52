"""The page's scripts: how they are compressed and cached, and that nothing of a visitor is."""

import gzip
import re
from http.client import responses

import pytest

from tests.app.server.attacker import Answer, Visitor, ask

SCRIPT = "/voila/static/voila.js"
GZIP = {"Accept-Encoding": "gzip, deflate, br"}


def version(visitor: Visitor) -> str:
    (found,) = set(re.findall(r"/voila/(?:static|labextensions)/([0-9a-f]{16})", visitor.page))
    return str(found)


def extension(visitor: Visitor) -> str:
    found = re.search(r'"name": "anywidget"[^}]*"load": "([^"]+)"', visitor.page) or re.search(
        r'"load": "([^"]+)", "name": "anywidget"', visitor.page
    )
    assert found
    return f"/voila/labextensions/anywidget/{found[1]}"


def plain(answer: Answer) -> bytes:
    return gzip.decompress(answer.body) if "content-encoding" in answer.headers else answer.body


@pytest.mark.parametrize("name", ["script", "extension"])
def test_a_script_is_compressed_and_a_second_visit_asks_for_it_again_or_not_at_all(
    port: int, visitor: Visitor, name: str
) -> None:
    path = SCRIPT if name == "script" else extension(visitor)
    whole, short = ask(port, path=path), ask(port, path=path, headers=GZIP)
    assert "content-encoding" not in whole.headers
    assert short.headers["content-encoding"] == "gzip"
    assert plain(short) == whole.body
    assert len(short.body) < 0.6 * len(whole.body)
    for answer in (whole, short):
        assert int(answer.headers["content-length"]) == len(answer.body)
        assert answer.headers["vary"] == "Accept-Encoding"
        assert answer.headers["cache-control"] == "no-cache"
        assert "javascript" in answer.headers["content-type"]
    assert whole.headers["etag"] != short.headers["etag"]
    for headers, known in ((GZIP, short), ({}, whole)):
        again = ask(port, path=path, headers={**headers, "If-None-Match": known.headers["etag"]})
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == known.headers["etag"]
    place, _, rest = path.removeprefix("/voila/").partition("/")
    kept = ask(port, path=f"/voila/{place}/{version(visitor)}/{rest}", headers=GZIP)
    assert kept.body == short.body
    assert {"public", "immutable"} <= set(kept.headers["cache-control"].split(", "))
    assert f"/{version(visitor)}/" in visitor.page
    outdated = ask(port, path=f"/voila/{place}/{16 * '0'}/{rest}", headers=GZIP)
    assert outdated.status in (403, 404)
    for missing in ("/voila/static/nope.js", "/voila/labextensions/nope.js"):
        answer = ask(port, path=missing)
        assert answer.body == f"{answer.status} {responses[answer.status]}\n".encode()


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("GZip;q=0.5", True),
        ("br, gzip ; q=1", True),
        ("gzip;q=0", False),
        ("gzip; q=0.00", False),
        ("br, identity", False),
        ("gzipped", False),
        ("", False),
    ],
)
def test_scripts_are_compressed_for_those_who_accept_it(port: int, accepted: str, compressed: bool) -> None:
    for method in ("GET", "HEAD"):
        answer = ask(port, method, SCRIPT, headers={"Accept-Encoding": accepted})
        assert answer.status == 200
        assert ("content-encoding" in answer.headers) == compressed


def test_a_part_of_a_script_is_a_part_of_the_file_itself(port: int) -> None:
    whole = ask(port, path=SCRIPT).body
    part = ask(port, path=SCRIPT, headers={**GZIP, "Range": "bytes=10-19"})
    assert (part.status, part.body) == (206, whole[10:20])
    assert "content-encoding" not in part.headers


def test_no_answer_with_something_of_a_visitor_is_compressed(port: int, visitor: Visitor) -> None:
    for path in ("/api/health", "/nothing", f"/api/kernels/{visitor.kernel_id}"):
        assert "content-encoding" not in ask(port, path=path, headers=GZIP).headers
    assert "content-encoding" not in visitor.answer.headers


def test_a_path_cannot_ask_for_the_compressed_form(port: int) -> None:
    for path in (f"{SCRIPT}%00gzip", "/voila/static/%00gzip"):
        assert ask(port, path=path, headers=GZIP).status in (400, 403, 404)
