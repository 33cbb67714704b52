"""The server behind a real nginx with docs/nginx.conf: what the proxy protects it from, and what it lets through."""

import contextlib
import resource
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator

import pytest
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from benchmarks.processes import free_port
from malaria_detect.app.server.kernel_frames import PROTOCOL
from malaria_detect.app.server.page import TALK_COOKIE
from tests.app.server.attacker import Answer, Visitor, ask_kernel, statuses, visitor_of
from tests.browser.served import PROJECT, Server, served_page
from tests.waiting import SECONDS, until

pytestmark = pytest.mark.slow

NAME = "malaria.example.org"
IDLE = 3_000
# As a distribution's nginx.conf, but with the connections that docs/how-to/deployment.md asks for.
MAIN = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1; worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/malaria.conf;
}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served_page(PROJECT, tmp_path_factory.mktemp("behind_nginx"), "--workers", "1") as running:
        yield running


@pytest.fixture(scope="module")
def proxy(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of nginx, with the shipped configuration but for addresses and times."""
    nginx, openssl = (
        shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/bin") for name in ("nginx", "openssl")
    )
    if nginx is None or openssl is None:
        pytest.skip("needs nginx and openssl: install the packages of these names")
    folder = tmp_path_factory.mktemp("nginx")
    key, certificate = folder / "privkey.pem", folder / "fullchain.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", f"/CN={NAME}", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    port, plain = free_port(), free_port()
    text = (PROJECT / "docs" / "nginx.conf").read_text(encoding="utf-8")
    for shipped, tried in {
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "listen [::]:80;": "",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{port} ssl http2;",
        "listen [::]:443 ssl http2;": "",
        "127.0.0.1:8866": f"127.0.0.1:{server.port}",
        "/etc/ssl/malaria.example.org": str(folder),
        "client_header_timeout 10s;": "client_header_timeout 2s;",
        "client_body_timeout 30s;": "client_body_timeout 2s;",
    }.items():
        assert shipped in text, shipped
        text = text.replace(shipped, tried)
    (folder / "malaria.conf").write_text(text, encoding="utf-8")
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder), encoding="utf-8")
    process = subprocess.Popen([nginx, "-c", str(folder / "nginx.conf"), "-p", str(folder)])
    try:
        until(lambda: process.poll() is not None or _is_bound(port), "nginx's start")
        assert process.poll() is None, (folder / "error.log").read_text(encoding="utf-8")
        yield port
    finally:
        process.terminate()
        process.wait(SECONDS)


def _is_bound(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def context() -> ssl.SSLContext:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE  # made for this test
    return trusting


def opened(port: int) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
    return context().wrap_socket(plain, server_hostname=NAME)


def received(connection: ssl.SSLSocket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while data := connection.recv(65536):
            answer += data
    return answer


def request(port: int, path: str = "/", method: str = "GET") -> Answer:
    head = (f"{method} {path} HTTP/1.0", f"Host: {NAME}:{port}", "Connection: close", "", "")
    with opened(port) as connection:
        connection.sendall("\r\n".join(head).encode())
        top, _, body = received(connection).partition(b"\r\n\r\n")
    first, *lines = top.decode().split("\r\n")
    found: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        found[name.lower()] = "\n".join(filter(None, (found.get(name.lower()), value)))
    return Answer(int(first.split()[1]), found, body)


def use(visitor: Visitor) -> None:
    """Talk to a visitor's kernel through nginx, as the page does."""
    with connect(
        f"wss://{NAME}:{visitor.port}/api/kernels/{visitor.kernel_id}/channels?session_id=1",
        sock=socket.create_connection(("127.0.0.1", visitor.port), timeout=SECONDS),
        ssl=context(),
        server_hostname=NAME,
        origin=Origin(f"https://{NAME}:{visitor.port}"),
        subprotocols=[Subprotocol(PROTOCOL)],
        additional_headers={"Cookie": visitor.cookie(TALK_COOKIE)},
        compression=None,
        open_timeout=SECONDS,
    ) as connection:
        ask_kernel(connection)


def test_the_page_and_its_kernel_can_be_used_and_cookies_are_secure(proxy: int) -> None:
    answer = request(proxy)
    assert "; Secure" in answer.headers["set-cookie"]
    assert answer.headers["strict-transport-security"]
    assert "server" not in answer.headers or answer.headers["server"] == "nginx"
    use(visitor_of(proxy, answer))


def test_metrics_are_not_for_the_network(proxy: int) -> None:
    assert request(proxy, "/metrics").status == 404
    assert request(proxy, "/api/health").status == 200


def test_a_visitor_is_served_while_idle_and_slow_connections_pile_up(proxy: int, server: Server) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + 200:
        pytest.skip(f"this system allows no {IDLE} connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    idle = []
    try:
        for number in range(IDLE):
            connection = socket.create_connection(("127.0.0.1", proxy), timeout=SECONDS)
            if number % 2:
                connection.sendall(b"\x16\x03\x01")  # the beginning of TLS
            idle.append(connection)
        use(visitor_of(proxy, request(proxy)))
        # They end at the proxy.
        assert len(server.process.net_connections("tcp")) < 100
    finally:
        for connection in idle:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: a",
        b"POST /api/predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: 60000\r\n\r\nslow",
    ],
    ids=["line", "headers", "body"],
)
def test_slow_requests_are_given_up(proxy: int, sent: bytes) -> None:
    with opened(proxy) as connection:
        connection.sendall(sent)
        assert 200 not in statuses(received(connection))
    assert request(proxy, "/api/health").status == 200


def test_sessions_from_one_address_are_limited(proxy: int) -> None:
    # HEAD is counted like GET, and starts no session.
    assert 429 in {request(proxy, "/", method="HEAD").status for _ in range(40)}
