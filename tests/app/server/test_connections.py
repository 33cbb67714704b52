"""A server with few places, asked over real sockets; its clock is advanced by the tests."""

import asyncio
import queue
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler
from websockets.sync.client import connect

from malaria_detect.app.server.connections import ConnectionLimits, GuardedServer, raise_file_limit
from tests.app.server.attacker import ask, send_raw, statuses
from tests.app.server.interface import in_a_thread
from tests.waiting import SECONDS, until

PLACES = 8
LONG = 100_000  # s: passes only where a test advances the clock
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock can be advanced."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


class Hello(RequestHandler):
    def get(self) -> None:
        self.write("hello")

    def post(self) -> None:
        self.write(str(len(self.request.body)))


class Waiting(RequestHandler):
    async def get(self) -> None:
        self.settings["waiting"].put(None)
        await asyncio.Event().wait()


class Echo(WebSocketHandler):
    async def on_message(self, message: str | bytes) -> None:
        await self.write_message(message)


@dataclass
class Served:
    """A running server: its port, and a signal for each request that waits for ever."""

    port: int = 0
    loop: Loop = field(default_factory=Loop)
    waiting: "queue.Queue[None]" = field(default_factory=queue.Queue)

    def open(self, *sent: bytes) -> socket.socket:
        opened = socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)
        for data in sent:
            opened.sendall(data)
        return opened

    def open_waiting(self, number: int) -> list[socket.socket]:
        """Connections with requests that the server works on for ever, one begun after the other."""
        opened = []
        for _ in range(number):
            opened.append(self.open(REQUEST.replace(b"/", b"/wait", 1)))
            self.waiting.get(timeout=SECONDS)
        return opened

    def advance(self, seconds: float) -> None:
        done = threading.Event()

        def turn() -> None:
            self.loop.ahead += seconds
            done.set()

        self.loop.call_soon_threadsafe(turn)
        assert done.wait(SECONDS)


@contextmanager
def serving(**limits: Any) -> Iterator[Served]:
    settings = {"connections": PLACES, "header_seconds": LONG, "body_seconds": LONG, "max_body_bytes": 1000}
    served = Served()
    application = Application([("/", Hello), ("/wait", Waiting), ("/echo", Echo)], waiting=served.waiting)
    server = GuardedServer(application, ConnectionLimits(**settings | limits))
    with in_a_thread(server, served.loop) as served.port:
        yield served


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as running:
        yield running


def is_closed(opened: socket.socket) -> bool:
    try:
        return opened.recv(1) == b""
    except ConnectionResetError:
        return True


def test_the_oldest_connection_without_a_request_makes_room(served: Served) -> None:
    idle = [served.open() for _ in range(PLACES)]
    assert ask(served.port).body == b"hello"
    assert is_closed(idle[0])
    idle[-1].sendall(REQUEST)
    assert b"hello" in idle[-1].recv(65536)
    for opened in idle:
        opened.close()


def test_silent_connections_are_closed_before_those_that_had_an_answer(served: Served) -> None:
    resting = served.open(REQUEST)
    assert b"hello" in resting.recv(65536)
    idle = [served.open(b"GET / HT") for _ in range(3 * PLACES)]
    assert ask(served.port).body == b"hello"
    resting.sendall(REQUEST)
    assert b"hello" in resting.recv(65536)
    for opened in (*idle, resting):
        opened.close()


def test_requests_in_progress_and_websockets_keep_their_places(served: Served) -> None:
    with connect(f"ws://127.0.0.1:{served.port}/echo", open_timeout=SECONDS) as used:
        waiting = served.open_waiting(PLACES - 2)
        for _ in range(3 * PLACES):
            served.open().close()
        assert ask(served.port).body == b"hello"
        used.send("still there")
        assert used.recv(SECONDS) == "still there"
        for opened in waiting:
            opened.setblocking(False)
            with pytest.raises(BlockingIOError):
                opened.recv(1)
            opened.close()


@pytest.mark.parametrize("stuck_seconds", [0, LONG])
def test_requests_that_take_too_long_make_room(stuck_seconds: float) -> None:
    with serving(stuck_seconds=stuck_seconds) as served:
        stuck = served.open_waiting(PLACES)
        answer = send_raw(served.port, REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert statuses(answer) == ([200] if stuck_seconds == 0 else [])
        assert stuck_seconds == LONG or is_closed(stuck[0])
        for opened in stuck:
            opened.close()


def test_closed_websockets_give_their_places_back(served: Served) -> None:
    for _ in range(3 * PLACES):
        with connect(f"ws://127.0.0.1:{served.port}/echo", open_timeout=SECONDS):
            pass
    assert ask(served.port).body == b"hello"


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HTTP/1.1\r\nX: ", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nslow", REQUEST],
)
def test_slow_connections_are_closed(served: Served, sent: bytes) -> None:
    with served.open(sent) as slow:
        if sent == REQUEST:
            assert b"hello" in slow.recv(65536)
        slow.settimeout(0.1)

        def is_closed_after_a_while() -> bool:
            served.advance(LONG)
            try:
                return is_closed(slow)
            except TimeoutError:
                return False

        assert until(is_closed_after_a_while, "the slow connection's end")
    assert ask(served.port).body == b"hello"


def test_bodies_and_headers_have_limits(served: Served) -> None:
    port = served.port
    assert ask(port, "POST", "/", bytes(1000)).body == b"1000"
    assert statuses(send_raw(port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n")) == [400]
    assert 200 not in statuses(send_raw(port, REQUEST[:-2] + b"X: " + b"a" * 40_000 + b"\r\n\r\n"))
    assert ask(port).body == b"hello"


def test_as_many_files_may_be_open_as_the_system_allows() -> None:
    allowed = raise_file_limit()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft >= allowed or soft == resource.RLIM_INFINITY
    assert allowed <= 65_536
    assert hard == resource.RLIM_INFINITY or allowed <= hard
