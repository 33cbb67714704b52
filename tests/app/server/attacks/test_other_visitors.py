"""Attacks on other visitors' kernels, by another visitor and by another site that a visitor has open."""

import json
import re
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from malaria_detect.app.server.kernel_frames import PROTOCOL
from malaria_detect.app.server.kernel_handlers import KERNEL_ID
from malaria_detect.app.server.page import END_COOKIE, TALK_COOKIE
from tests.app.server.attacker import (
    NO_KERNEL,
    Visitor,
    ask,
    ask_kernel,
    open_socket,
    status_of_socket,
    visit,
    visitor_of,
)
from tests.app.server.conftest import LAB, MOST_VISITORS, OTHER_LAB
from tests.browser.served import Server
from tests.waiting import until

EVIL = "http://evil.example"
TOKEN = "0" * 32


def test_a_kernel_is_its_visitors_alone(port: int, visitor: Visitor, other: Visitor) -> None:
    place, secret = f"/api/kernels/{visitor.kernel_id}", visitor.cookies[TALK_COOKIE]
    others = (
        other.cookies[TALK_COOKIE],
        secret[:-1],
        f"{secret}x",
        secret.swapcase(),
        f'"{secret[:-1]}\\303"',
    )
    wrong = [f"{TALK_COOKIE}={value}" for value in (*others, "", "None")]
    for cookie in (None, f"session={secret}", *wrong):
        with pytest.raises(InvalidStatus, match="404"):
            open_socket(port, visitor.kernel_id, cookie)
        assert ask(port, path=place, headers={"Cookie": cookie} if cookie else {}).status == 404
    own = ask(port, path=place, headers={"Cookie": visitor.cookie(TALK_COOKIE)})
    assert json.loads(own.body).keys() == {"id", "name", "execution_state"}


@pytest.mark.parametrize("method", ["DELETE", "POST", "PUT", "PATCH"])
@pytest.mark.parametrize("action", ["", "/restart", "/interrupt", "/channels"])
def test_a_kernel_cannot_be_changed_not_even_by_its_visitor(
    port: int, visitor: Visitor, method: str, action: str
) -> None:
    headers = {"Cookie": f"{visitor.cookie(TALK_COOKIE)}; _xsrf={TOKEN}", "X-XSRFToken": TOKEN}
    answer = ask(port, method, f"/api/kernels/{visitor.kernel_id}{action}", headers=headers)
    assert answer.status in (403, 404, 405)


def test_a_kernel_is_not_ended_by_others(port: int, visitor: Visitor, other: Visitor) -> None:
    for cookies in ({}, other.cookies, {END_COOKIE: ""}, {TALK_COOKIE: visitor.cookies[TALK_COOKIE]}):
        thief = Visitor(port, visitor.answer, visitor.kernel_id, {END_COOKIE: "", **cookies})
        assert thief.leave().status == 404


def test_a_kernel_is_ended_by_its_visitor_and_its_secret_is_worth_nothing_then(port: int) -> None:
    leaving = visit(port)
    with leaving.socket() as opened:
        ask_kernel(opened)
        assert leaving.leave().status == 204
    for place in (f"/api/kernels/{leaving.kernel_id}", f"/api/kernels/{NO_KERNEL}"):
        assert ask(port, path=place, headers={"Cookie": leaving.cookie(TALK_COOKIE)}).status == 404
    assert leaving.leave().status == 404


def test_no_kernel_of_the_pool_can_be_taken(port: int, server: Server, visitor: Visitor) -> None:
    # No page contains their ids: here they are read off the sockets of their processes.
    def ids() -> set[str]:
        return {
            found
            for process in server.process.children(recursive=True)
            for link in process.net_connections("unix")
            for found in re.findall(KERNEL_ID.replace("?P<kernel_id>", ""), str(link.laddr))
        } - {visitor.kernel_id}

    for kernel_id in [*until(ids, "a kernel in the pool"), NO_KERNEL]:
        for cookie in (None, f"{TALK_COOKIE}=", visitor.cookie(TALK_COOKIE)):
            with pytest.raises(InvalidStatus, match="404"):
                open_socket(port, kernel_id, cookie)


@pytest.mark.parametrize(
    ("origin", "headers"),
    [
        (None, {}),
        ("null", {}),
        ("http://127.0.0.1", {}),
        ("https://127.0.0.1:1", {}),
        (EVIL, {}),
        (EVIL, {"Sec-WebSocket-Origin": EVIL}),
        (EVIL, {"X-Forwarded-Host": "evil.example"}),
        (EVIL, {"Forwarded": "host=evil.example"}),
        (EVIL, {"Sec-Fetch-Site": "same-origin"}),
        (EVIL, {"Sec-Fetch-Site": "cross-site"}),
    ],
)
def test_other_sites_cannot_open_a_websocket_in_a_visitors_name(
    visitor: Visitor, origin: str | None, headers: dict[str, str]
) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        visitor.socket(origin=origin, headers=headers)


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        (LAB, "127.0.0.1:8866", 101),
        (LAB, "lab.example:8443", 101),
        (OTHER_LAB, "backend", 101),
        ("http://[::1]:8080", "[::1]", 101),
        # Of the host itself, whose port may be written or not.
        ("https://new.example", "New.example:443", 101),
        ("http://[2001:db8::1]", "[2001:DB8::1]:80", 101),
        ("https://lab.example:8443", "backend", 403),
        ("http://lab.example", "backend", 403),
        ("https://evil.lab.example", "backend", 403),
        ("https://lab.example.evil.example", "backend", 403),
        ("https://lab.example@evil.example", "backend", 403),
        ("http://10.0.0.5", "backend", 403),
        ("null", "null", 403),
        ("null", "", 403),
        ("*", "*", 403),
        ("https://lab.example, https://evil.example", "backend", 403),
        ("https://new.example", "new.example:80", 403),
    ],
)
def test_websockets_open_for_the_servers_own_and_for_allowed_origins(
    visitor: Visitor, origin: str, host: str, status: int
) -> None:
    assert status_of_socket(visitor, origin, host) == status


def test_the_log_says_which_origin_was_refused_in_one_line_of_limited_length(
    server: Server, visitor: Visitor
) -> None:
    def logged() -> list[dict[str, str]]:
        lines = Path(server.process.cwd(), "temporary", "log.txt").read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines if "backend.example" in line]
        return [line for line in found if line["origin"].startswith("http://x")]

    origin = "http://x\x85\\n\u202e\x9b31m" + 5000 * "a"
    assert status_of_socket(visitor, origin.encode().decode("latin-1"), "backend.example") == 403
    (line,) = until(logged, "the line in the log")
    assert line["host"] == "backend.example"
    assert len(line["origin"]) <= 200


def test_other_sites_cannot_end_a_visitors_kernel(port: int, visitor: Visitor) -> None:
    both = f"{visitor.cookie(END_COOKIE)}; _xsrf={TOKEN}"
    for headers, body in (
        ({"Cookie": visitor.cookie(END_COOKIE)}, ""),  # a form of another site knows no token
        ({"Cookie": both}, f"_xsrf={TOKEN}"),
        ({"Cookie": both, "Origin": EVIL}, f"_xsrf={TOKEN}"),
        ({"Cookie": both, "Origin": "null"}, f"_xsrf={TOKEN}"),
    ):
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        answer = ask(port, "POST", f"/voila/api/shutdown/{visitor.kernel_id}", body.encode(), headers)
        assert answer.status in (403, 404)


def test_cookies_are_for_no_script_and_no_other_site(port: int) -> None:
    guest = visit(port, {"X-Forwarded-Proto": "https"})
    assert guest.leave().status == 204
    cookies = guest.answer.headers["set-cookie"].split("\n")
    assert len(cookies) == 2
    for cookie in cookies:
        assert {"HttpOnly", "SameSite=Strict", "Secure"} <= set(cookie.split("; "))
        assert re.search(r"Path=/(api/kernels|voila/api/shutdown)/[0-9a-f-]{36}(;|$)", cookie)


def test_no_answer_may_be_read_by_other_sites(port: int) -> None:
    guest = visit(port, {"Origin": EVIL})
    assert guest.leave().status == 204
    paths = ("/api/health", "/voila/static/voila.js", "/nothing", f"/api/kernels/{NO_KERNEL}")
    answers = [
        ask(port, method, path, headers={"Origin": EVIL}) for path in paths for method in ("GET", "OPTIONS")
    ]
    for answer in (guest.answer, *answers):
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"])
def test_no_kernel_is_started_but_by_opening_the_page(port: int, method: str) -> None:
    answer = ask(port, method)
    assert answer.status == (200 if method == "HEAD" else 405)
    assert answer.status == 200 or set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert "set-cookie" not in answer.headers


def test_a_head_request_gets_the_headers_of_the_page(port: int, visitor: Visitor) -> None:
    own = {"set-cookie", "date", "transfer-encoding"}
    head = ask(port, "HEAD")
    assert head.body == b""
    assert head.headers == {
        name: value for name, value in visitor.answer.headers.items() if name not in own
    } | {"date": head.headers["date"]}


def test_no_more_kernels_are_started_than_there_may_be_visitors(port: int) -> None:
    guests = []
    while (answer := ask(port)).status == 200:
        guests.append(visitor_of(port, answer))
        assert len(guests) < MOST_VISITORS
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    for guest in guests:
        assert guest.leave().status == 204
    late = visit(port)
    with late.socket() as opened:
        assert opened.subprotocol == PROTOCOL
        ask_kernel(opened)
    assert late.leave().status == 204
