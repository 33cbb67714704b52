"""Attacks on the running server, as it is started for visitors: each is tried for real, and the server lives on."""

from collections.abc import Iterator

import pytest
from websockets.sync.client import ClientConnection

from tests.app.server.attacker import Visitor, ask, ask_kernel, visit
from tests.app.server.interface import Running
from tests.browser.served import Server


@pytest.fixture(scope="session")
def port(interface: Running) -> int:
    return interface.port


@pytest.fixture(scope="session")
def visitor(port: int) -> Visitor:
    """Somebody who uses the page while all this goes on."""
    return visit(port)


@pytest.fixture(scope="session")
def other(port: int) -> Visitor:
    """An attacker, who has a kernel of his own."""
    return visit(port)


@pytest.fixture(scope="session")
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
