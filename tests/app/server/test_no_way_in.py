"""Attacks on the running server, as it is started for visitors: each is tried for real, and the server lives on."""

import json
import re
import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from malaria_detect.app.server.guards import HEADERS, NOTHING_POLICY, script_hashes
from malaria_detect.app.server.kernel_frames import PROTOCOL
from malaria_detect.app.server.kernel_handlers import KERNEL_ID
from malaria_detect.app.server.page import END_COOKIE, TALK_COOKIE
from tests.app.server.attacker import (
    Visitor,
    ask,
    frame,
    kinds_until_idle,
    message,
    open_socket,
    port_of,
    read_on,
    send_raw,
    statuses,
    visit,
    visitor_of,
)
from tests.browser.served import PROJECT, Server, page_folder, served_page
from tests.waiting import SECONDS, until

MOST_VISITORS = 5
LONG = 100_000  # s: longer than the tests take on any machine
# Few visitors, and no limits in time; everything else is as shipped.
LIMITS = {"max_visitors": MOST_VISITORS} | dict.fromkeys(
    ("header_seconds", "body_seconds", "answer_seconds", "unclaimed_seconds"), LONG
)
IDLE = 3_000
NO_KERNEL = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server's temporary files are, such as those with its kernels' ids."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(temporary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page and the interface on a free port."""
    folder = page_folder(tmp_path_factory.mktemp("served"), Server=LIMITS)
    (folder / "secret.txt").write_text("the secret", encoding="utf-8")
    with served_page(folder, temporary, "--workers", "1") as running:
        yield running


@pytest.fixture(scope="module")
def port(server: Server) -> int:
    return port_of(server.address)


@pytest.fixture(scope="module")
def visitor(port: int) -> Visitor:
    """Somebody who uses the page while all this goes on."""
    return visit(port)


@pytest.fixture(scope="module")
def connection(visitor: Visitor) -> Iterator[ClientConnection]:
    """The visitor's websocket, which no attack may disturb."""
    with visitor.socket() as opened:
        yield opened


@pytest.fixture(autouse=True)
def alive(server: Server, port: int, connection: ClientConnection) -> Iterator[None]:
    """After each attack the same process serves the interface and the visitor."""
    yield
    assert server.process.is_running()
    assert ask(port, path="/api/health").status == 200
    ask_kernel(connection)


def ask_kernel(connection: ClientConnection) -> None:
    parts = message("kernel_info_request", {})
    connection.send(frame(parts))
    assert "status" in kinds_until_idle(connection, json.loads(parts[0])["msg_id"])


def closing_code(connection: ClientConnection) -> int:
    """Read until the server closes the websocket, and return why."""
    with pytest.raises(ConnectionClosed) as closed:
        read_on(connection)
    assert closed.value.rcvd, "the server did not say why"
    return closed.value.rcvd.code


def execute_request(code: str) -> list[bytes]:
    return message(
        "execute_request",
        {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": True},
    )


def smuggled(parts: list[bytes], new: bytes) -> list[bytes]:
    """Change the first part of a message, its header, byte by byte."""
    return [new, *parts[1:]]


# Code in the kernel


@pytest.mark.parametrize("channel", ["shell", "control", "stdin", "iopub", "", "shell\0", "SHELL"])
@pytest.mark.parametrize("kind", ["execute_request", "debug_request", "input_reply"])
def test_code_is_not_run(
    visitor: Visitor, connection: ClientConnection, tmp_path: Path, channel: str, kind: str
) -> None:
    proof = tmp_path / "hacked"
    parts = execute_request(f"open({str(proof)!r}, 'w').close()")
    parts[0] = parts[0].replace(b"execute_request", kind.encode())
    with visitor.socket() as attack:
        attack.send(frame(parts, channel))
        assert closing_code(attack) == 1008
    ask_kernel(connection)  # after which the kernel would have run it
    assert not proof.exists()


def smugglers(header: bytes) -> dict[str, bytes]:
    plain = b'"msg_type": "execute_request"'
    assert plain in header
    innocent = b'"msg_type": "comm_msg"'
    return {
        "twice, the bad one last": header.replace(plain, innocent + b", " + plain),
        "escaped": header.replace(b"execute_request", b"execute\\u005frequest"),
        "other case": header.replace(b"execute_request", b"Execute_Request"),
        "with blanks": header.replace(b"execute_request", b" execute_request"),
        "with NUL": header.replace(b"execute_request", b"comm_msg\\u0000execute_request"),
        "in a list": header.replace(plain, b'"msg_type": ["comm_msg", "execute_request"]'),
        "in an object": header.replace(plain, b'"msg_type": {"comm_msg": "execute_request"}'),
        "missing": header.replace(plain, b'"type": "execute_request"'),
        "in a list of headers": b"[" + header + b"]",
        "in UTF-16": header.decode().encode("utf-16"),
        "after a byte order mark": b"\xef\xbb\xbf" + header,
        "in front of more": header + b"{}",
        "nested too deep": b'{"msg_type":' * 10_000,
    }


@pytest.mark.parametrize("way", smugglers(execute_request("")[0]))
def test_code_is_not_smuggled_in_by_its_header(
    visitor: Visitor, connection: ClientConnection, tmp_path: Path, way: str
) -> None:
    proof = tmp_path / "hacked"
    parts = execute_request(f"open({str(proof)!r}, 'w').close()")
    with visitor.socket() as attack:
        attack.send(frame(smuggled(parts, smugglers(parts[0])[way])))
        assert closing_code(attack) == 1008
    ask_kernel(connection)
    assert not proof.exists()


def test_code_in_a_second_message_behind_the_first_is_taken_for_a_buffer(
    visitor: Visitor, connection: ClientConnection, tmp_path: Path
) -> None:
    proof = tmp_path / "hacked"
    innocent = message("comm_msg", {"comm_id": "none", "data": {}})
    with visitor.socket() as attack:
        attack.send(frame([*innocent, b"<IDS|MSG>", b"", *execute_request(f"open({str(proof)!r}, 'w')")]))
        ask_kernel(attack)
    assert not proof.exists()


@pytest.mark.parametrize("protocol", [None, "v0.kernel.websocket.jupyter.org"])
def test_the_older_protocol_is_not_spoken(visitor: Visitor, protocol: str | None) -> None:
    with pytest.raises(InvalidStatus, match="400"):
        visitor.socket(protocol=protocol)


@pytest.mark.parametrize("target", ["jupyter.widget", "jupyter.widget.version", "", "anywidget"])
def test_no_widgets_are_made_from_outside(visitor: Visitor, target: str) -> None:
    state = {"_model_module": "@jupyter-widgets/controls", "_model_name": "TextModel"}
    content = {"comm_id": "mine", "target_name": target, "data": {"state": state}}
    with visitor.socket() as attack:
        attack.send(frame(message("comm_open", content)))
        assert closing_code(attack) == 1008


def overlapping() -> bytes:
    # Every second part is the whole message: a few megabytes would become gigabytes.
    number = 250
    table = 8 * (number + 1)
    size = table + 2**16
    offsets = [table if index % 2 else size for index in range(number)]
    return b"".join(value.to_bytes(8, "little") for value in (number, *offsets)) + bytes(2**16)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 8,
        # Jupyter's reader counts to this number, filling a list.
        (2**62).to_bytes(8, "little"),
        struct.pack("<q", -1),
        (6).to_bytes(8, "little"),
        overlapping(),
        frame(message("comm_msg", {})[:3]),
        frame(message("comm_msg", {}))[:-1],
        frame(message("comm_msg", {})) + b"more",
        frame([*message("comm_msg", {}), *[b"x"] * 1000]),
        frame(smuggled(message("comm_msg", {}), b"no JSON")),
        frame(smuggled(message("comm_msg", {}), b" " * 2**20)),
        struct.pack("!i", 2**31 - 1),
        '{"channel": "shell", "header": {"msg_type": "comm_msg", "msg_id": "1"}, "content": {}}',
    ],
    ids=lambda data: f"{len(data)} bytes" if isinstance(data, bytes) else "text",
)
def test_malformed_messages_close_their_websocket_at_once(visitor: Visitor, data: bytes | str) -> None:
    with visitor.socket() as attack:
        attack.send(data)
        assert closing_code(attack) == 1008


def test_a_message_over_the_limit_closes_its_websocket_before_it_is_sent(visitor: Visitor) -> None:
    limit = json.loads((PROJECT / "voila.json").read_text(encoding="utf-8"))["Voila"]["tornado_settings"]
    with visitor.socket() as attack:
        # The head of a frame that announces one byte too many; the rest need not come.
        size = limit["websocket_max_message_size"] + 1
        attack.socket.sendall(b"\x82\xff" + struct.pack("!Q", size) + b"mask" + bytes(1000))
        assert closing_code(attack) == 1009


@pytest.mark.parametrize(
    "data",
    [
        b"\x82\x04abcd",  # without the mask that clients must use
        b"\xf2\x84maskabcd",  # reserved bits
        b"\x83\x84maskabcd",  # an opcode that does not exist
        b"\x80\x84maskabcd",  # goes on with nothing
        b"\x89\xfe\x01\x00mask" + bytes(256),  # a ping that is too long
        b"\x09\x84maskabcd",  # a ping in pieces
        b"\x82\xff" + b"\xff" * 8 + b"mask",  # 2**64 - 1 bytes
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=lambda data: data[:4].hex(),
)
def test_malformed_frames_end_their_connection(visitor: Visitor, data: bytes) -> None:
    with visitor.socket() as attack:
        attack.socket.sendall(data)
        with pytest.raises(ConnectionClosed):
            read_on(attack)


def test_no_more_is_taken_than_the_kernel_answers(port: int, server: Server) -> None:
    flooding = visit(port)
    with flooding.socket() as attack:
        ask_kernel(attack)
        kernel = process_of(server, flooding.kernel_id)
        kernel.suspend()
        try:
            with pytest.raises(ConnectionClosed) as closed:
                flood(attack)
        finally:
            kernel.resume()
    assert closed.value.rcvd
    assert closed.value.rcvd.code == 1013
    assert flooding.leave().status == 204


def flood(connection: ClientConnection) -> None:
    for _ in range(100_000):
        connection.send(frame(message("comm_info_request", {})))


def process_of(server: Server, kernel_id: str) -> psutil.Process:
    """Find the process that listens on a kernel's sockets."""
    for process in server.process.children(recursive=True):
        if any(kernel_id in connection.laddr for connection in process.net_connections("unix")):
            return process
    raise AssertionError("no process has that kernel's sockets")


def test_a_visitor_opens_few_websockets(visitor: Visitor) -> None:
    with ExitStack() as opened:
        # One is open all the time.
        for _ in range(3):
            opened.enter_context(visitor.socket())
        with pytest.raises(InvalidStatus, match="429"):
            visitor.socket()


# Other visitors' kernels


@pytest.fixture(scope="module")
def other(port: int) -> Visitor:
    """An attacker, who has a kernel of his own."""
    return visit(port)


def wrong_cookies(visitor: Visitor, other: Visitor) -> list[str | None]:
    secret = visitor.cookies[TALK_COOKIE]
    return [
        None,
        f"{TALK_COOKIE}=",
        f"{TALK_COOKIE}=None",
        f"{TALK_COOKIE}={secret[:-1]}",
        f"{TALK_COOKIE}={secret}x",
        f"{TALK_COOKIE}={secret.swapcase()}",
        f'{TALK_COOKIE}="{secret[:-1]}\\303"',
        other.cookie(TALK_COOKIE),
        f"session={secret}",
    ]


def test_a_kernel_is_its_visitors_alone(port: int, visitor: Visitor, other: Visitor) -> None:
    place = f"/api/kernels/{visitor.kernel_id}"
    assert visitor.cookies[TALK_COOKIE] != other.cookies[TALK_COOKIE]
    for cookie in wrong_cookies(visitor, other):
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
    answer = ask(
        port,
        method,
        f"/api/kernels/{visitor.kernel_id}{action}",
        headers={
            "Cookie": f"{visitor.cookie(TALK_COOKIE)}; _xsrf={'0' * 32}",
            "X-XSRFToken": "0" * 32,
        },
    )
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
    # Their ids stand in no page: here they are read off the sockets of their processes.
    def ids() -> set[str]:
        return {
            found
            for process in server.process.children(recursive=True)
            for connection in process.net_connections("unix")
            for found in re.findall(KERNEL_ID.replace("?P<kernel_id>", ""), str(connection.laddr))
        } - {visitor.kernel_id}

    for kernel_id in [*until(ids, "a kernel in the pool"), NO_KERNEL]:
        for cookie in (None, f"{TALK_COOKIE}=", visitor.cookie(TALK_COOKIE)):
            with pytest.raises(InvalidStatus, match="404"):
                open_socket(port, kernel_id, cookie)


@pytest.mark.parametrize(
    "path",
    [
        *("/api/kernels", "/api/kernels/", "/api/kernelspecs", "/api/sessions", "/api/contents"),
        *("/api/contents/export.pkl", "/api/terminals", "/api/status", "/api", "/api/me", "/api/config/x"),
        *("/api/nbconvert", "/api/security/csp-report", "/api/spec.yaml", "/api/shutdown", "/voila/tree"),
        *("/voila/render/dashboard.ipynb", "/voila/api/contents", "/voila/api/contents/", "/voila/files/"),
        *(
            "/voila/api/shutdown",
            "/voila/api/shutdown/",
            "/voila/api/themes/x",
            "/lab",
            "/tree",
            "/nbconvert",
        ),
        *(
            "/voila/templates/lab/static/voila.js",
            "/login",
            "/logout",
            "/terminals/1",
            "/metrics/../api/kernels",
        ),
        *(f"/voila/query/{NO_KERNEL}", f"/voila/execution/{NO_KERNEL}", "/proxy/80/", "/.git/config"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_else_of_jupyter_is_served(port: int, method: str, path: str) -> None:
    answer = ask(port, method, path, headers={"X-XSRFToken": "0" * 32, "Cookie": f"_xsrf={'0' * 32}"})
    assert answer.status in (404, 405), answer


# Files


PLACES = (
    "/",
    "/voila/static/",
    "/voila/labextensions/",
    "/api/",
    "/voila/files/",
    "/voila/templates/lab/static/",
)
WAYS_UP = (
    "../",
    "..%2f",
    "%2e%2e/",
    "%2e%2e%2f",
    "%252e%252e%252f",
    "..%5c",
    "..\\",
    "..%c0%af",
    "..;/",
    "./.././",
    "....//",
    "..%00/",
)


def read_by(port: int, path: str) -> bytes:
    answer = send_raw(port, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode("latin-1"))
    assert statuses(answer) in ([400], [403], [404]), path
    return answer


@pytest.mark.parametrize("place", PLACES)
def test_no_path_leads_out_of_what_is_served(port: int, place: str) -> None:
    for way in WAYS_UP:
        for target in ("etc/passwd", "secret.txt", str(PROJECT / "export.json").lstrip("/")):
            answer = read_by(port, f"{place}{way * 12}{target}")
            assert not any(secret in answer for secret in (b"root:", b"the secret", b"temperature"))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "path",
    [
        *(
            "//etc/passwd",
            "/etc/passwd",
            "%2fetc%2fpasswd",
            "%2f%2fetc/passwd",
            "file:///etc/passwd",
            "~root/.bashrc",
        ),
        *("etc/passwd%00.png", "%00", "%00/../", "a" * 5000, "%ff%fe", "%", "%zz", "con", "."),
        *("http://127.0.0.1/etc/passwd", "..", "../", "%2e%2e", "?../../etc/passwd", "#/etc/passwd"),
    ],
)
def test_no_other_path_reads_a_file(port: int, place: str, path: str) -> None:
    if (place, path[:1]) not in (("/", "?"), ("/", "#")):  # which is the page itself
        assert b"root:" not in read_by(port, place + path)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "dashboard.ipynb",
            "export.pkl",
            "export.json",
            "voila.json",
            "secret.txt",
            "malaria_detect/inference/metadata.py",
        ),
        *(
            "malaria_detect/app/server/templates/index.html.j2",
            "index.html.j2",
            "requirements.txt",
            ".gitignore",
        ),
        *("page.css", "loading.html", "server/log.txt", "export.pkl?raw=1", "dashboard.ipynb/"),
    ],
)
def test_no_file_of_the_folder_is_served(port: int, name: str) -> None:
    for place in PLACES:
        read_by(port, place + name)


def test_the_page_shows_no_source_and_no_place_on_the_machine(visitor: Visitor, server: Server) -> None:
    notebook = json.loads((PROJECT / "dashboard.ipynb").read_text(encoding="utf-8"))
    lines = [line.strip() for cell in notebook["cells"] for line in "".join(cell["source"]).splitlines()]
    for line in [line for line in lines if len(line) > 12]:
        assert line not in visitor.page
    for place in (str(PROJECT), str(Path.home()), "site-packages"):
        assert place not in visitor.page


# Other sites


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://127.0.0.1", "https://127.0.0.1:1"]
)
def test_other_sites_cannot_open_a_websocket_in_a_visitors_name(visitor: Visitor, origin: str | None) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        visitor.socket(origin=origin)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-WebSocket-Origin": "http://evil.example"},
        {"X-Forwarded-Host": "evil.example"},
        {"Forwarded": "host=evil.example"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_no_header_makes_another_site_our_own(visitor: Visitor, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        visitor.socket(origin="http://evil.example", headers=headers)


def test_a_browser_that_says_another_site_asks_is_believed(visitor: Visitor) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        visitor.socket(origin="http://evil.example", headers={"Sec-Fetch-Site": "cross-site"})


def test_other_sites_cannot_end_a_visitors_kernel(port: int, visitor: Visitor) -> None:
    both = f"{visitor.cookie(END_COOKIE)}; _xsrf={'0' * 32}"
    place = f"/voila/api/shutdown/{visitor.kernel_id}"
    for headers, body in (
        ({"Cookie": visitor.cookie(END_COOKIE)}, b""),  # a form of another site knows no token
        ({"Cookie": both, "Origin": "http://evil.example"}, b"_xsrf=" + b"0" * 32),
        ({"Cookie": both, "Origin": "null"}, b"_xsrf=" + b"0" * 32),
    ):
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert ask(port, "POST", place, body, {**headers, **form}).status in (403, 404)


def test_cookies_are_for_no_script_and_no_other_site(port: int) -> None:
    guest = visit(port, {"X-Forwarded-Proto": "https"})
    assert guest.leave().status == 204
    cookies = guest.answer.headers["set-cookie"].split("\n")
    assert len(cookies) == 2
    for cookie in cookies:
        assert {"HttpOnly", "SameSite=Strict", "Secure"} <= set(cookie.split("; "))
        assert re.search(r"Path=/(api/kernels|voila/api/shutdown)/[0-9a-f-]{36}(;|$)", cookie)


def test_no_answer_may_be_read_by_other_sites(port: int) -> None:
    guest = visit(port, {"Origin": "http://evil.example"})
    assert guest.leave().status == 204
    answers = [
        ask(port, method, path, headers={"Origin": "http://evil.example"})
        for path in ("/api/health", "/voila/static/voila.js", "/nothing", f"/api/kernels/{NO_KERNEL}")
        for method in ("GET", "OPTIONS")
    ]
    for answer in (guest.answer, *answers):
        assert "access-control-allow-origin" not in answer.headers


# Headers


def test_every_kind_of_answer_has_the_security_headers(port: int, visitor: Visitor) -> None:
    answers = {
        "page": visitor.answer,
        "static": ask(port, path="/voila/static/voila.js"),
        "not found": ask(port, path="/nothing"),
        "not static": ask(port, path="/voila/static/nothing.js"),
        "interface": ask(port, path="/api/health"),
        "refused by the interface": ask(port, "POST", "/api/predict", b"", {"Content-Type": "text/plain"}),
        "websocket refused": ask(port, path=f"/api/kernels/{NO_KERNEL}/channels"),
        "method": ask(port, "PUT"),
        "head": ask(port, "HEAD", "/voila/static/voila.js"),
        "not changed": ask(
            port,
            path="/voila/static/voila.js",
            headers={"If-None-Match": ask(port, path="/voila/static/voila.js").headers["etag"]},
        ),
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
    assert set(script_hashes([visitor.page], 0)) <= set(policy["script-src"].split())
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "data:", "https:"} & set(
        policy["script-src"].split()
    )
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"


def test_the_page_and_what_it_loads_name_no_other_host(visitor: Visitor) -> None:
    loaded = re.findall(r"""(?:src|href|action|poster|data)\s*=\s*["']([^"']+)["']""", visitor.page)
    loaded += re.findall(r"""(?:url\(|@import)\s*["']?([^"')]+)""", visitor.page)
    assert any(address.endswith("voila.js") for address in loaded)
    for address in loaded:
        assert urlsplit(address).netloc == "" or urlsplit(address).scheme == "data", address
    for name in ("page.css", "served.css", "loading.html", "page.html"):
        (file,) = (PROJECT / "malaria_detect" / "app").rglob(name)
        assert not re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", file.read_text(encoding="utf-8"))


# Too much, and too slow


def test_bodies_nobody_asked_for_are_refused_unread(port: int, visitor: Visitor) -> None:
    for path in ("/", "/api/health", "/voila/static/voila.js", f"/voila/api/shutdown/{visitor.kernel_id}"):
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {10**12}\r\n\r\n".encode()
        assert statuses(send_raw(port, head))[0] in (400, 413)
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        chunks = [b"10000\r\n" + bytes(0x10000) + b"\r\n"] * 64
        answered = statuses(send_raw(port, head, *chunks))
        # A closed connection may lose the answer on its way, as the client goes on sending.
        assert answered == [] or answered[0] >= 400


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 200_000,
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 50_000,
        b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"a=b; " * 50_000,
    ],
    ids=["path", "one header", "many headers", "cookies"],
)
def test_headers_that_are_too_long_end_the_connection(port: int, head: bytes) -> None:
    assert 200 not in statuses(send_raw(port, head, b"\r\n\r\n"))


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
            answer = send_raw(port_of(impatient.address), beginning)
            assert statuses(answer) in ([], [404])


@pytest.mark.slow
def test_a_real_visitor_is_served_while_idle_connections_pile_up(
    port: int, server: Server, connection: ClientConnection
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + 200:
        pytest.skip(f"this system allows no {IDLE} connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    idle = []
    try:
        for number in range(IDLE):
            opened = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
            if number % 2:
                opened.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            idle.append(opened)
        another = visit(port)
        with another.socket() as opened_socket:
            ask_kernel(opened_socket)
        ask_kernel(connection)
        assert another.leave().status == 204
        assert len(server.process.net_connections("tcp")) > IDLE / 2
    finally:
        for opened in idle:
            opened.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# Requests that two servers might read in two ways


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
@pytest.mark.parametrize("path", ["/", "/api/health", "/voila/static/voila.js"])
def test_no_other_method_is_answered(port: int, method: str, path: str) -> None:
    request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-Secret: s3cret\r\nConnection: close\r\n\r\n"
    answer = send_raw(port, request.encode("latin-1"))
    assert statuses(answer)[0] in (400, 404, 405)
    assert b"s3cret" not in answer


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"])
def test_no_kernel_is_started_but_by_opening_the_page(port: int, method: str) -> None:
    answer = ask(port, method)
    assert answer.status in (403, 405)
    assert TALK_COOKIE not in answer.headers.get("set-cookie", "")


@pytest.mark.parametrize(
    "line",
    [
        b"GET http://127.0.0.1:1/ HTTP/1.1",
        b"GET / HTTP/9.9",
        b"GET  / HTTP/1.1",
        b"GET /\0 HTTP/1.1",
        b"/ HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
def test_strange_request_lines_get_no_page(port: int, line: bytes) -> None:
    assert 200 not in statuses(send_raw(port, line + b"\r\nHost: x\r\nConnection: close\r\n\r\n"))


def test_no_more_kernels_are_started_than_there_may_be_visitors(port: int) -> None:
    guests = []
    while (answer := ask(port)).status == 200:
        guests.append(visitor_of(port, answer))
        assert len(guests) < MOST_VISITORS
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    for guest in guests:
        assert guest.leave().status == 204
    assert visit(port).leave().status == 204


def test_at_last_the_page_is_still_served(port: int) -> None:
    late = visit(port)
    with late.socket() as opened:
        assert opened.subprotocol == PROTOCOL
        ask_kernel(opened)
    assert late.leave().status == 204
