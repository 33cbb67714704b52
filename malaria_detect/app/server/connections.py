"""What a connection may do before anybody looks at what it asks for: limits that idle and slow clients meet."""

import socket
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream
from tornado.web import Application

if sys.platform != "win32":
    import resource

# More are never asked for: each one open costs the operating system and this process memory.
_MOST_FILES = 65_536
# Of the files that may be open, the share that is not for connections: a kernel alone needs about a dozen.
_KEPT = 0.25
# Connections that the operating system keeps until they are let in.
_BACKLOG = 1024


@dataclass(frozen=True)
class ConnectionLimits:
    """What a connection may do before anybody looks at what it asks for.

    Attributes
    ----------
    connections : int
        Open at once; fewer where the operating system allows fewer files.
    header_seconds : float
        Until a request's headers are complete, counted from the connection's start or the last answer.
    body_seconds, max_body_bytes
        Of requests whose handler says nothing else.
    max_header_bytes : int
    stuck_seconds : float
        A request that takes longer than this is given up where its place is needed.
    """

    connections: int = 4096
    header_seconds: float = 60
    body_seconds: float = 30
    max_body_bytes: int = 64 * 1024
    max_header_bytes: int = 32 * 1024
    stuck_seconds: float = 120


class GuardedServer(HTTPServer):
    """A server that idle and slow clients cannot fill up: who has asked for nothing makes room for who comes.

    Parameters
    ----------
    application : Application
    limits : ConnectionLimits
    max_message_bytes : int
        Of a websocket, the application's ``websocket_max_message_size``.

    Attributes
    ----------
    most : int
        Connections at once.
    """

    def initialize(  # type: ignore[override]
        self,
        application: Application,
        limits: ConnectionLimits = ConnectionLimits(),
        max_message_bytes: int = 10 * 2**20,
    ) -> None:
        """Take the place of ``__init__``, which tornado calls this from."""
        super().initialize(
            application,
            xheaders=True,
            max_header_size=limits.max_header_bytes,
            idle_connection_timeout=limits.header_seconds,
            body_timeout=limits.body_seconds,
            max_body_size=limits.max_body_bytes,
            # A browser may send a message in one frame, which is read as a whole.
            max_buffer_size=max_message_bytes + 2**16,
        )
        self.most = min(limits.connections, int((1 - _KEPT) * raise_file_limit()))
        self._stuck_seconds = limits.stuck_seconds
        # Each of these dictionaries has its oldest entry first.
        self._silent: dict[IOStream, None] = {}
        self._resting: dict[IOStream, None] = {}
        self._asking: dict[IOStream, float] = {}
        self._dropped: set[IOStream] = set()
        self._websockets: set[IOStream] = set()

    def listen(
        self,
        port: int,
        address: str | None = None,
        family: socket.AddressFamily = socket.AF_UNSPEC,
        backlog: int = _BACKLOG,
        flags: int | None = None,
        reuse_port: bool = False,
    ) -> None:
        """Listen as tornado does, with more room for those who come while others are let in."""
        super().listen(port, address, family, backlog, flags, reuse_port)

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """Serve a new connection, if need be in the place of one that asks for nothing."""
        if self._open() >= self.most and not self._make_room():
            stream.close()
            return
        self._silent[stream] = None
        super().handle_stream(stream, address)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Expect a request; the connection is idle until its headers are there."""
        assert isinstance(server_conn, HTTP1ServerConnection)
        stream = server_conn.stream
        if self._asking.pop(stream, None) is not None:
            self._resting[stream] = None

        def begun() -> None:
            self._silent.pop(stream, None)
            self._resting.pop(stream, None)
            self._asking[stream] = time.monotonic()

        finish = request_conn.finish

        def answered() -> None:
            # Noted at once: who reads the answer may have another one come before tornado waits for the next request.
            if not stream.writing() and self._asking.pop(stream, None) is not None:
                self._resting[stream] = None
            finish()

        request_conn.finish = answered  # type: ignore[method-assign]
        return _Watched(super().start_request(server_conn, request_conn), begun)

    def on_close(self, server_conn: object) -> None:
        """Forget a connection that is closed, or that has become a websocket."""
        assert isinstance(server_conn, HTTP1ServerConnection)
        self._forget(server_conn.stream)
        self._dropped.discard(server_conn.stream)
        if not server_conn.stream.closed():
            self._websockets.add(server_conn.stream)
        super().on_close(server_conn)

    def _forget(self, stream: IOStream) -> None:
        for connections in (self._silent, self._resting, self._asking):
            connections.pop(stream, None)

    def _open(self) -> int:
        # Those that were dropped stay in tornado's set until their loops have noticed.
        return len(self._connections) - len(self._dropped) + len(self._websockets)

    def _make_room(self) -> bool:
        self._websockets = {stream for stream in self._websockets if not stream.closed()}
        if self._open() < self.most:
            return True
        given_up = next(iter(self._silent), None) or next(iter(self._resting), None)
        if given_up is None:
            given_up, since = next(iter(self._asking.items()), (None, 0.0))
            if given_up is None or time.monotonic() - since < self._stuck_seconds:
                return False
        self._forget(given_up)
        self._dropped.add(given_up)
        given_up.close()
        return True


class _Watched(HTTPMessageDelegate):
    """Tells when the headers of a request are there."""

    def __init__(self, delegate: HTTPMessageDelegate, begun: Callable[[], None]) -> None:
        self._delegate = delegate
        self._begun = begun
        # As of the delegate, which reads the rest.
        self.data_received = delegate.data_received  # type: ignore[method-assign]
        self.finish = delegate.finish  # type: ignore[method-assign]
        self.on_connection_close = delegate.on_connection_close  # type: ignore[method-assign]

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._begun()
        return self._delegate.headers_received(start_line, headers)


def raise_file_limit() -> int:
    """Allow this process as many open files as the system lets it have, and return how many that are."""
    if sys.platform == "win32":
        return _MOST_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
