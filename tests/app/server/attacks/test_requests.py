"""Attacks with strange, too large and too many requests, and the headers of all answers."""

from pathlib import Path

import pytest

from malaria_detect.app.server.app import MAX_BODY_BYTES, MAX_HEADER_BYTES
from malaria_detect.app.server.guards import HEADERS, NOTHING_POLICY, script_hashes
from tests.app.server.attacker import (
    NO_KERNEL,
    Visitor,
    ask,
    send_raw,
    statuses,
)
from tests.browser.served import page_folder, served_page

SCRIPT = "/voila/static/voila.js"


def test_every_kind_of_answer_has_the_security_headers(port: int, visitor: Visitor) -> None:
    unchanged = {"If-None-Match": ask(port, path=SCRIPT).headers["etag"]}
    answers = {
        "page": visitor.answer,
        "static": ask(port, path=SCRIPT),
        "not found": ask(port, path="/nothing"),
        "not static": ask(port, path="/voila/static/nothing.js"),
        "interface": ask(port, path="/api/health"),
        "refused by the interface": ask(port, "POST", "/api/predict", b"", {"Content-Type": "text/plain"}),
        "websocket refused": ask(port, path=f"/api/kernels/{NO_KERNEL}/channels"),
        "method": ask(port, "PUT"),
        "head": ask(port, "HEAD", SCRIPT),
        "not changed": ask(port, path=SCRIPT, headers=unchanged),
    }
    assert answers["not changed"].status == 304
    for name, answer in answers.items():
        assert {key.lower(): value for key, value in HEADERS.items()}.items() <= answer.headers.items(), name
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], name
        assert "server" not in answer.headers
    assert answers["interface"].headers["content-security-policy"] == NOTHING_POLICY
    assert answers["page"].headers["cache-control"] == "no-cache, no-store, must-revalidate"


def test_the_pages_policy_allows_its_own_scripts_by_their_hash_and_no_others(visitor: Visitor) -> None:
    header = visitor.answer.headers["content-security-policy"]
    policy = dict(part.strip().split(" ", 1) for part in header.split(";"))
    scripts = set(policy["script-src"].split())
    assert set(script_hashes([visitor.page], 0)) <= scripts
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "data:", "https:"} & scripts
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"


def test_bodies_nobody_asked_for_are_refused_unread(port: int, visitor: Visitor) -> None:
    for path in ("/", "/api/health", SCRIPT, f"/voila/api/shutdown/{visitor.kernel_id}"):
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {10**12}\r\n\r\n".encode()
        assert statuses(send_raw(port, head))[0] in (400, 413)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        chunks = [b"10000\r\n" + bytes(0x10000) + b"\r\n"] * 64
        answered = statuses(send_raw(port, head, *chunks))
        # A closed connection may lose the answer on its way, as the client goes on sending.
        assert answered == [] or answered[0] >= 400


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
        b"Content-Length: 6\r\nContent-Length: 7\r\n",
        b"Content-Length: 6, 7\r\n",
        b"Content-Length: +6\r\n",
        b"Content-Length: 0x6\r\n",
        b"Content-Length: 6_0\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Content-Length : 6\r\n",
        b"X: a\rTransfer-Encoding: chunked\r\n",
        b"X: a\0b\r\n",
        b"Host: y\r\n",
    ],
)
def test_no_request_is_smuggled_in_by_another(port: int, headers: bytes) -> None:
    inner = b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = send_raw(port, b"POST /nothing HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n0\r\n\r\n" + inner)
    assert statuses(answer) == [400]


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "DEBUG", "PROPFIND", "get", "G\xe4T"])
@pytest.mark.parametrize("path", ["/", "/api/health", SCRIPT])
def test_no_other_method_is_answered(port: int, method: str, path: str) -> None:
    request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-Secret: s3cret\r\nConnection: close\r\n\r\n"
    answer = send_raw(port, request.encode("latin-1"))
    assert statuses(answer)[0] in (400, 404, 405)
    assert b"s3cret" not in answer


@pytest.mark.parametrize(
    "head",
    [
        b"GET http://127.0.0.1:1/ HTTP/1.1",
        b"GET / HTTP/9.9",
        b"GET  / HTTP/1.1",
        b"GET /\0 HTTP/1.1",
        b"/ HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /" + b"a" * 200_000,
        b"GET / HTTP/1.1\r\nX: " + b"a" * 200_000,
        b"GET / HTTP/1.1" + b"\r\nX: a" * 50_000,
        b"GET / HTTP/1.1\r\nCookie: " + b"a=b; " * 50_000,
    ],
    ids=lambda head: repr(head[:40]),
)
def test_strange_and_too_long_requests_get_no_page(port: int, head: bytes) -> None:
    assert 200 not in statuses(send_raw(port, head + b"\r\nHost: x\r\nConnection: close\r\n\r\n"))


@pytest.mark.slow
def test_slow_clients_are_not_waited_for(tmp_path: Path) -> None:
    folder = page_folder(tmp_path, Server={"header_seconds": 1, "body_seconds": 1})
    beginnings = (
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: a",
        b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\nslow",
        # Answered, and resting since.
        b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n",
    )
    with served_page(folder, folder / "temporary", "--workers", "1", "--pool", "0") as impatient:
        for beginning in beginnings:
            answer = send_raw(impatient.port, beginning)
            assert statuses(answer) in ([], [404])


def test_headers_and_bodies_have_limits_where_nobody_sends_files(port: int) -> None:
    head = b"POST /nothing HTTP/1.1\r\nHost: x\r\n"
    short = head + f"Content-Length: {MAX_BODY_BYTES}\r\nConnection: close\r\n\r\n".encode()
    assert statuses(send_raw(port, short, bytes(MAX_BODY_BYTES))) == [404]
    assert statuses(send_raw(port, head + f"Content-Length: {MAX_BODY_BYTES + 1}\r\n\r\n".encode())) == [400]
    long = b"X: " + b"a" * MAX_HEADER_BYTES + b"\r\n\r\n"
    assert not {200, 404} & set(statuses(send_raw(port, b"GET /api/health HTTP/1.1\r\nHost: x\r\n" + long)))
