"""A visitor without a browser, who does over HTTP and websocket what the page's scripts do.

Unlike browsers, many of them fit on a small machine together with a server. Used by tests and ``benchmarks.serve``.

Examples
--------
>>> with Visitor("http://127.0.0.1:8866/") as visitor:  # doctest: +SKIP
...     for card in visitor.upload({"cell.png": Path("cell.png").read_bytes()}):
...         print(card.name, card.kind, card.probability)
cell.png parasitized 0.97
"""

import contextlib
import json
import re
import secrets
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import requests
from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)
from requests.cookies import get_cookie_header
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from malaria_detect.data.nlm_cells import CLASSES

PROTOCOL = Subprotocol("v1.kernel.websocket.jupyter.org")
# s: a page or an answer that takes longer never comes.
PATIENCE = 300.0
_CONFIG = re.compile(r'<script id="jupyter-config-data"[^>]*>\s*(\{.*?\})\s*</script>', re.DOTALL)


class VisitError(RuntimeError):
    """The server did not do what the page needs; the message says what happened instead."""


@dataclass(frozen=True)
class Message:
    """The parts of a message of Jupyter's protocol that are used here."""

    kind: str
    parent: str
    content: dict[str, Any]
    buffers: Sequence[bytes]

    @property
    def sent(self) -> dict[str, Any]:
        """Content that a widget sent with ``Widget.send``; empty for all other messages."""
        data = self.content.get("data", {}) if self.kind == "comm_msg" else {}
        content: dict[str, Any] = data.get("content", {}) if data.get("method") == "custom" else {}
        return content


@dataclass(frozen=True)
class Card:
    """One card; the calibrated probability of parasitized is None if there is no answer."""

    name: str
    kind: str
    probability: float | None


class Visitor:
    """A visitor who opens the page, and leaves it with :meth:`leave` or at the end of a ``with``.

    Parameters
    ----------
    address : str
        Address of the page, ending with a slash.
    patience : float
        Seconds after which a missing answer is an error.

    Attributes
    ----------
    kernel : str
        Id of this visitor's kernel.
    session : requests.Session
        Has the cookies that a browser would have.
    printed : str
        Output of the kernel so far, which the page does not show.

    Raises
    ------
    VisitError
        If the page has no kernel or not the expected widgets.
    requests.RequestException, websockets.WebSocketException, TimeoutError
        If the server refuses or does not answer.
    """

    def __init__(self, address: str, patience: float = PATIENCE) -> None:
        self.address = address
        self.patience = patience
        self.session = requests.Session()
        self.session.trust_env = False
        self.printed = ""
        self.kernel = self._open_page()
        self._id = str(uuid.uuid4())
        self._open = contextlib.ExitStack()
        self._socket = self._open.enter_context(self._connect())
        try:
            self._upload, self._cards = self._find_widgets()
        except BaseException:
            self.leave()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def upload(self, pictures: Mapping[str, bytes]) -> list[Card]:
        """Upload several images at once and wait for all their cards.

        Parameters
        ----------
        pictures : mapping of str to bytes
            Content of each file, by name.

        Returns
        -------
        list of Card
            In the order of the images.

        Raises
        ------
        VisitError
            If the page refuses the images, or reports a problem.
        TimeoutError
            If the cards do not arrive in time.
        """
        self._send_to(self._upload, {"type": "upload", "names": list(pictures)}, list(pictures.values()))
        cards = []
        for message in self._messages():
            sent = message.sent
            if sent.get("type") == "refused":
                raise VisitError(sent["message"])
            if sent.get("type") == "state" and sent["problem"]:
                raise VisitError(sent["problem"])
            if sent.get("type") == "card":
                cards.append(_card(sent))
            if len(cards) == len(pictures):
                return cards
        raise AssertionError("unreachable: messages end with an error")

    def leave(self) -> None:
        """Leave as the page does: its script asks the server to end the kernel, and the websocket is closed."""
        # Voila does not set this cookie; the page's own script does, and Voila's script sends it back.
        token = secrets.token_hex(16)
        self.session.cookies.set("_xsrf", token)
        address = urljoin(self.address, f"voila/api/shutdown/{self.kernel}")
        with contextlib.closing(self.session), self._open:
            answer = self.session.post(
                address, files={"_xsrf": (None, token)}, headers=self._own_origin(), timeout=self.patience
            )
            answer.raise_for_status()

    def _own_origin(self) -> dict[str, str]:
        there = urlsplit(self.address)
        return {"Origin": f"{there.scheme}://{there.netloc}"}

    def _open_page(self) -> str:
        answer = self.session.get(self.address, timeout=self.patience)
        answer.raise_for_status()
        config = _CONFIG.search(answer.text)
        kernel = json.loads(config[1]).get("kernelId") if config else None
        if not kernel:
            raise VisitError(f"The page names no kernel: {answer.text[:500]}")
        status = self.session.get(urljoin(self.address, f"api/kernels/{kernel}"), timeout=self.patience)
        status.raise_for_status()
        return str(kernel)

    def _connect(self) -> AbstractContextManager[ClientConnection]:
        place = urljoin(self.address, f"api/kernels/{self.kernel}/channels?session_id={self._id}")
        # The cookies that a browser would send: some are limited to certain paths.
        cookies = get_cookie_header(self.session.cookies, requests.Request("GET", place).prepare())
        return connect(
            re.sub("^http", "ws", place),
            origin=Origin(self._own_origin()["Origin"]),
            additional_headers={"Cookie": cookies} if cookies else None,
            subprotocols=[PROTOCOL],
            proxy=None,
            max_size=None,
            open_timeout=self.patience,
            close_timeout=1,
        )

    def _find_widgets(self) -> tuple[str, str]:
        """Comm ids of the upload and the cards, after every widget has sent its state, which the page requests."""
        self._send("kernel_info_request", {})
        asked = self._send("comm_info_request", {"target_name": "jupyter.widget"})
        comms = next(
            message.content["comms"]
            for message in self._messages()
            if message.kind == "comm_info_reply" and message.parent == asked
        )
        waiting = set(comms)
        for comm in comms:
            self._send("comm_msg", {"comm_id": comm, "data": {"method": "request_state"}})
        states: dict[str, Mapping[str, Any]] = {}
        while waiting:
            message = next(self._messages())
            if message.kind == "comm_msg" and message.content["data"].get("method") == "update":
                comm = message.content["comm_id"]
                states.setdefault(comm, message.content["data"]["state"])
                waiting.discard(comm)
        uploads = [comm for comm, state in states.items() if "max_images" in state]
        cards = [comm for comm, state in states.items() if "explains" in state]
        if not uploads or len(cards) != 1:
            raise VisitError(f"The page has {len(uploads)} places to upload and {len(cards)} for cards.")
        self._send_to(cards[0], {"type": "hello"})
        next(message for message in self._messages() if message.sent.get("type") == "state")
        # The other place to upload, for adapting the model, takes more images.
        return min(uploads, key=lambda comm: states[comm]["max_images"]), cards[0]

    def _send_to(self, comm: str, content: Mapping[str, Any], buffers: Sequence[bytes] = ()) -> None:
        data = {"method": "custom", "content": content}
        self._send("comm_msg", {"comm_id": comm, "data": data}, buffers)

    def _send(self, kind: str, content: Mapping[str, Any], buffers: Sequence[bytes] = ()) -> str:
        number = str(uuid.uuid4())
        header = {"msg_id": number, "msg_type": kind, "session": self._id, "username": "", "version": "5.2"}
        header["date"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
        self._socket.send(serialize_msg_to_ws_v1([*parts, *buffers], "shell"))
        return number

    def _messages(self) -> Iterator[Message]:
        """Messages of the kernel, until none arrives for too long."""
        deadline = time.monotonic() + self.patience
        while True:
            frame = self._socket.recv(timeout=max(0.0, deadline - time.monotonic()))
            if isinstance(frame, str):
                raise VisitError(f"The server sends text instead of the protocol asked for: {frame[:200]}")
            _, (header, parent, _, content, *buffers) = deserialize_msg_from_ws_v1(frame)
            message = Message(
                json.loads(header)["msg_type"],
                json.loads(parent).get("msg_id", ""),
                json.loads(content),
                buffers,
            )
            if message.kind == "stream":
                self.printed += message.content["text"]
            yield message


def _card(sent: Mapping[str, Any]) -> Card:
    probability = next((exact for name, _, _, exact in sent["bars"] if name == CLASSES[0]), None)
    return Card(sent["name"], sent["kind"], probability)
