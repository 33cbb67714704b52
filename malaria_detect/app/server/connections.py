"""Connection limits, which protect the server against idle and slow clients."""

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

# No more open files are requested, because each costs memory.
_MOST_FILES = 65_536
# Share of the open files that is reserved for other uses than connections; a kernel needs about a dozen.
_KEPT = 0.25
# Connections that the operating system holds until the server accepts them.
_BACKLOG = 1024


@dataclass(frozen=True)
class ConnectionLimits:
    """Limits on connections.

    Attributes
    ----------
    connections : int
        Connections open at the same time; fewer if the operating system allows fewer open files.
    header_seconds : float
        Time for the headers of a request, counted from the start of the connection or from the last answer.
    body_seconds : float
        Time for the body of a request, if its handler sets no other limit.
    max_body_bytes : int
        Size of a request's body, if its handler sets no other limit.
    max_header_bytes : int
        Size of a request's headers.
    stuck_seconds : float
        A request that takes longer may be closed when another client needs its place.
    """

    connections: int = 4096
    header_seconds: float = 60
    body_seconds: float = 30
    max_body_bytes: int = 64 * 1024
    max_header_bytes: int = 32 * 1024
    stuck_seconds: float = 120


class GuardedServer(HTTPServer):
    """A server that idle and slow clients cannot fill: connections without a request make room for new ones.

    Parameters
    ----------
    application : Application
    limits : ConnectionLimits
    max_message_bytes : int
        Size of a websocket message, the application's ``websocket_max_message_size``.

    Attributes
    ----------
    most : int
        Connections open at the same time.
    """

    def initialize(  # type: ignore[override]
        self,
        application: Application,
        limits: ConnectionLimits = ConnectionLimits(),
        max_message_bytes: int = 10 * 2**20,
    ) -> None:
        """Initialize the server; tornado's ``__init__`` calls this method."""
        super().initialize(
            application,
            xheaders=True,
            max_header_size=limits.max_header_bytes,
            idle_connection_timeout=limits.header_seconds,
            body_timeout=limits.body_seconds,
            max_body_size=limits.max_body_bytes,
            # A browser may send a message as one frame, which is read completely.
            max_buffer_size=max_message_bytes + 2**16,
        )
        self.most = min(limits.connections, int((1 - _KEPT) * raise_file_limit()))
        self._stuck_seconds = limits.stuck_seconds
        # Each HTTP connection is in one of these dictionaries, in which the oldest entry comes first.
        self._silent: dict[IOStream, None] = {}
        self._resting: dict[IOStream, None] = {}
        self._asking: dict[IOStream, float] = {}
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
        """Listen as tornado does, but with a longer queue of connections to accept."""
        super().listen(port, address, family, backlog, flags, reuse_port)

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        """Serve a new connection, if necessary in the place of one without a request."""
        if self._open() >= self.most and not self._make_room():
            stream.close()
            return
        self._silent[stream] = None
        super().handle_stream(stream, address)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Expect a request; the connection counts as idle until its headers have arrived."""
        assert isinstance(server_conn, HTTP1ServerConnection)
        stream = server_conn.stream
        if self._asking.pop(stream, None) is not None:
            self._resting[stream] = None

        def begun() -> None:
            # Not a connection that was closed to make room.
            if stream in self._silent or stream in self._resting:
                self._forget(stream)
                self._asking[stream] = time.monotonic()

        finish = request_conn.finish

        def answered() -> None:
            # At once: the client may send its next request before tornado waits for one.
            if not stream.writing() and self._asking.pop(stream, None) is not None:
                self._resting[stream] = None
            finish()

        request_conn.finish = answered  # type: ignore[method-assign]
        return _Watched(super().start_request(server_conn, request_conn), begun)

    def on_close(self, server_conn: object) -> None:
        """Forget a connection that was closed, or has become a websocket."""
        assert isinstance(server_conn, HTTP1ServerConnection)
        self._forget(server_conn.stream)
        if not server_conn.stream.closed():
            self._websockets.add(server_conn.stream)
        super().on_close(server_conn)

    def _forget(self, stream: IOStream) -> None:
        for connections in (self._silent, self._resting, self._asking):
            connections.pop(stream, None)

    def _open(self) -> int:
        return len(self._silent) + len(self._resting) + len(self._asking) + len(self._websockets)

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
        given_up.close()
        return True


class _Watched(HTTPMessageDelegate):
    """Calls a function when the headers of a request have arrived."""

    def __init__(self, delegate: HTTPMessageDelegate, begun: Callable[[], None]) -> None:
        self._delegate = delegate
        self._begun = begun
        # The delegate reads the rest.
        self.data_received = delegate.data_received  # type: ignore[method-assign]
        self.finish = delegate.finish  # type: ignore[method-assign]
        self.on_connection_close = delegate.on_connection_close  # type: ignore[method-assign]

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._begun()
        return self._delegate.headers_received(start_line, headers)


def raise_file_limit() -> int:
    """Raise this process's limit of open files as far as allowed, and return it."""
    if sys.platform == "win32":
        return _MOST_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
