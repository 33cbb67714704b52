"""A server with few places, asked over real sockets."""

import asyncio
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler
from websockets.sync.client import connect

from malaria_detect.app.server.connections import ConnectionLimits, GuardedServer, raise_file_limit
from tests.app.server.attacker import SECONDS, ask, send_raw, statuses

PLACES = 8
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Hello(RequestHandler):
    def get(self) -> None:
        self.write("hello")

    def post(self) -> None:
        self.write(str(len(self.request.body)))


class Waiting(RequestHandler):
    async def get(self) -> None:
        await asyncio.Event().wait()


class Echo(WebSocketHandler):
    async def on_message(self, message: str | bytes) -> None:
        await self.write_message(message)


@contextmanager
def serving(limits: ConnectionLimits) -> Iterator[int]:
    """Serve in a thread; gives the port."""
    ready = threading.Event()
    place: dict[str, object] = {}

    async def serve() -> None:
        end = asyncio.Event()
        place.update(loop=asyncio.get_running_loop(), end=end)
        server = GuardedServer(Application([("/", Hello), ("/wait", Waiting), ("/echo", Echo)]), limits)
        sockets = bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        place["port"] = sockets[0].getsockname()[1]
        ready.set()
        await end.wait()
        server.stop()
        await server.close_all_connections()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(SECONDS)
    try:
        port, loop, end = place["port"], place["loop"], place["end"]
        assert isinstance(port, int)
        yield port
    finally:
        assert isinstance(loop, asyncio.AbstractEventLoop)
        assert isinstance(end, asyncio.Event)
        loop.call_soon_threadsafe(end.set)
        thread.join(SECONDS)


@pytest.fixture
def port() -> Iterator[int]:
    with serving(ConnectionLimits(connections=PLACES, header_seconds=SECONDS, max_body_bytes=1000)) as number:
        yield number


def open_to(port: int, *sent: bytes) -> socket.socket:
    opened = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
    for data in sent:
        opened.sendall(data)
    return opened


def is_closed(opened: socket.socket) -> bool:
    try:
        return opened.recv(1) == b""
    except ConnectionResetError:
        return True


def test_who_asks_for_nothing_makes_room_the_oldest_first(port: int) -> None:
    idle = [open_to(port) for _ in range(PLACES)]
    assert ask(port).body == b"hello"
    assert is_closed(idle[0])
    idle[-1].sendall(REQUEST)
    assert b"hello" in idle[-1].recv(65536)
    for opened in idle:
        opened.close()


def test_silent_connections_go_before_those_that_rest(port: int) -> None:
    resting = open_to(port, REQUEST)
    assert b"hello" in resting.recv(65536)
    idle = [open_to(port, b"GET / HT") for _ in range(3 * PLACES)]
    assert ask(port).body == b"hello"
    resting.sendall(REQUEST)
    assert b"hello" in resting.recv(65536)
    for opened in (*idle, resting):
        opened.close()


def test_requests_in_hand_and_websockets_keep_their_places(port: int) -> None:
    with connect(f"ws://127.0.0.1:{port}/echo", open_timeout=SECONDS) as used:
        waiting = [open_to(port, REQUEST.replace(b"/", b"/wait", 1)) for _ in range(PLACES - 2)]
        assert ask(port).body == b"hello"  # by then the server has read what came before
        for _ in range(3 * PLACES):
            open_to(port).close()
        assert ask(port).body == b"hello"
        used.send("still there")
        assert used.recv(SECONDS) == "still there"
        for opened in waiting:
            opened.setblocking(False)
            with pytest.raises(BlockingIOError):
                opened.recv(1)
            opened.close()


def test_requests_that_are_stuck_make_room_at_last() -> None:
    with serving(ConnectionLimits(connections=PLACES, stuck_seconds=0)) as port:
        stuck = [open_to(port, REQUEST.replace(b"/", b"/wait", 1)) for _ in range(2 * PLACES)]
        assert ask(port).body == b"hello"
        assert is_closed(stuck[0])
        for opened in stuck:
            opened.close()


def test_closed_websockets_give_their_places_back(port: int) -> None:
    for _ in range(3 * PLACES):
        with connect(f"ws://127.0.0.1:{port}/echo", open_timeout=SECONDS) as used:
            used.send("x")
            assert used.recv(SECONDS) == "x"
    assert ask(port).body == b"hello"


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HTTP/1.1\r\nX: ", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nslow", REQUEST],
)
def test_slow_connections_are_closed(sent: bytes) -> None:
    with serving(ConnectionLimits(header_seconds=2, body_seconds=2)) as port:
        answer = send_raw(port, sent)
        assert statuses(answer) == ([200] if sent == REQUEST else [])
        assert ask(port).body == b"hello"


def test_bodies_and_headers_have_limits(port: int) -> None:
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
