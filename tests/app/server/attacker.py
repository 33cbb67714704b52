"""Tools of an attacker: raw bytes sent to a port, and a kernel's websocket without a browser."""

import json
import re
import socket
import uuid
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import psutil
import pytest
from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from malaria_detect.app.server.kernel_frames import PROTOCOL
from malaria_detect.app.server.page import END_COOKIE, TALK_COOKIE
from tests.waiting import SECONDS

NO_KERNEL = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Answer:
    """An answer; ``headers`` have lower-case names, and repeated headers are joined by a line break."""

    status: int
    headers: dict[str, str]
    body: bytes


def ask(
    port: int,
    method: str = "GET",
    path: str = "/",
    body: bytes | None = None,
    headers: Mapping[str, str] = {},
) -> Answer:
    """Send a request to the server on a port, with an unchanged path."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as connection:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        found: dict[str, str] = {}
        for name, value in response.getheaders():
            found[name.lower()] = "\n".join(filter(None, (found.get(name.lower()), value)))
        return Answer(response.status, found, response.read())


def send_raw(port: int, *chunks: bytes) -> bytes:
    """Send bytes and return all that comes back until the server closes the connection."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        try:
            for chunk in chunks:
                connection.sendall(chunk)
            while received := connection.recv(65536):
                answer += received
        except ConnectionError:
            # The server need not read what it refuses.
            pass
    return answer


def statuses(answer: bytes) -> list[int]:
    """Status codes of all HTTP answers in the received bytes."""
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", answer)]


@dataclass(frozen=True)
class Visitor:
    """A visitor who was given a page: the kernel's id, and the cookies by name."""

    port: int
    answer: Answer
    kernel_id: str
    cookies: dict[str, str]

    @property
    def page(self) -> str:
        return self.answer.body.decode()

    def cookie(self, name: str) -> str:
        return f"{name}={self.cookies[name]}"

    def socket(self, **options: Any) -> ClientConnection:
        """Open the kernel's websocket as the page does; options are those of :func:`open_socket`."""
        return open_socket(self.port, self.kernel_id, **{"cookie": self.cookie(TALK_COOKIE), **options})

    def leave(self) -> Answer:
        """End the kernel as the page does."""
        return ask(
            self.port,
            "POST",
            f"/voila/api/shutdown/{self.kernel_id}",
            headers={"Cookie": self.cookie(END_COOKIE), "Origin": f"http://127.0.0.1:{self.port}"},
        )


def visit(port: int, headers: Mapping[str, str] = {}) -> Visitor:
    """Ask for the page."""
    return visitor_of(port, ask(port, headers=headers))


def visitor_of(port: int, answer: Answer) -> Visitor:
    """Read from a page who its visitor is."""
    assert answer.status == 200, answer
    found = re.search(r'"kernelId": "([0-9a-f-]{36})"', answer.body.decode())
    assert found
    cookies = dict(line.partition(";")[0].split("=", 1) for line in answer.headers["set-cookie"].split("\n"))
    return Visitor(port, answer, found[1], cookies)


def open_socket(
    port: int,
    kernel_id: str,
    cookie: str | None = None,
    origin: str | None = "",
    protocol: str | None = PROTOCOL,
    headers: Mapping[str, str] = {},
) -> ClientConnection:
    """Open a kernel's websocket; an empty origin is the server's own."""
    return connect(
        f"ws://127.0.0.1:{port}/api/kernels/{kernel_id}/channels?session_id={uuid.uuid4()}",
        origin=f"http://127.0.0.1:{port}" if origin == "" else origin,  # type: ignore[arg-type]
        subprotocols=[protocol] if protocol else None,  # type: ignore[list-item]
        additional_headers={**({"Cookie": cookie} if cookie else {}), **headers},
        compression=None,
        max_size=None,
        open_timeout=SECONDS,
        close_timeout=SECONDS,
        ping_interval=None,
    )


def status_of_socket(visitor: Visitor, origin: str, host: str) -> int:
    """Status of the answer to a request for a websocket; 101 opens one, which is closed at once."""
    headers = {
        "Host": host,
        "Origin": origin,
        "Cookie": visitor.cookie(TALK_COOKIE),
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol": PROTOCOL,
    }
    path = f"/api/kernels/{visitor.kernel_id}/channels?session_id={uuid.uuid4()}"
    return ask(visitor.port, path=path, headers=headers).status


def message(kind: str, content: dict[str, Any], message_id: str | None = None) -> list[bytes]:
    """Make a message to a kernel: header, parent's header, metadata, content."""
    header = {
        "msg_id": message_id or str(uuid.uuid4()),
        "msg_type": kind,
        "session": "attack",
        "username": "",
        "version": "5.3",
        "date": "2026-01-01T00:00:00Z",
    }
    return [json.dumps(part).encode() for part in (header, {}, {}, content)]


def frame(parts: list[bytes], channel: str = "shell") -> bytes:
    """Pack a message as the page does."""
    packed: bytes = serialize_msg_to_ws_v1(parts, channel)
    return packed


def ask_kernel(connection: ClientConnection) -> None:
    """Ask the kernel who it is, and read until it has answered."""
    parts = message("kernel_info_request", {})
    connection.send(frame(parts))
    state = None
    while state != "idle":
        data = connection.recv(timeout=SECONDS)
        assert isinstance(data, bytes)
        _, (_, parent, _, content, *_) = deserialize_msg_from_ws_v1(data)
        parent, content = json.loads(parent), json.loads(content)
        if parent.get("msg_id") == json.loads(parts[0])["msg_id"]:
            state = content.get("execution_state")


def read_on(connection: ClientConnection) -> None:
    """Read until the server closes the websocket, which is an error."""
    while True:
        connection.recv(timeout=SECONDS)


def closing_code(connection: ClientConnection) -> int:
    """Read until the server closes the websocket, and return why."""
    with pytest.raises(ConnectionClosed) as closed:
        read_on(connection)
    assert closed.value.rcvd, "the server did not say why"
    return closed.value.rcvd.code


def process_of(server: psutil.Process, kernel_id: str) -> psutil.Process:
    """Find the process that listens on a kernel's sockets, which are named after it."""
    for process in server.children(recursive=True):
        if any(kernel_id in str(link.laddr) for link in process.net_connections("unix")):
            return process
    raise AssertionError("no process has that kernel's sockets")
