"""A visitor without a browser: does over HTTP and websocket what the page's scripts do.

Many of them fit beside a server on a small machine, which browsers do not. Tests and ``benchmarks.serve`` use it.

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
# What hangs is an error: a page that never comes, an answer that never comes.
PATIENCE = 300.0
_CONFIG = re.compile(r'<script id="jupyter-config-data"[^>]*>\s*(\{.*?\})\s*</script>', re.DOTALL)


class VisitError(RuntimeError):
    """The server did not do what the page needs; the message says what came instead."""


@dataclass(frozen=True)
class Message:
    """A message of Jupyter's protocol, as far as it is used here."""

    kind: str
    parent: str
    content: dict[str, Any]
    buffers: Sequence[bytes]

    @property
    def sent(self) -> dict[str, Any]:
        """What a widget sent of its own accord (``Widget.send``); empty for all other messages."""
        data = self.content.get("data", {}) if self.kind == "comm_msg" else {}
        content: dict[str, Any] = data.get("content", {}) if data.get("method") == "custom" else {}
        return content


@dataclass(frozen=True)
class Card:
    """What stands on one card; the probability of parasitized, calibrated, is None where there is no answer."""

    name: str
    kind: str
    probability: float | None


class Visitor:
    """Opens the page at once; leaves it, as a closed tab does, with :meth:`leave` or at the end of a ``with``.

    Parameters
    ----------
    address : str
        The page's, ending with a slash.
    patience : float
        Seconds after which an answer that did not come is an error.

    Attributes
    ----------
    kernel : str
        Id of this visitor's kernel.
    session : requests.Session
        Cookies as the browser would hold them.
    printed : str
        What the kernel printed so far, which no page shows.

    Raises
    ------
    VisitError
        Where the page has no kernel or not the widgets that it should have.
    requests.RequestException, websockets.WebSocketException, TimeoutError
        Where the server refuses or does not answer.
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
        """Upload pictures at once and wait for all their cards.

        Parameters
        ----------
        pictures : mapping of str to bytes
            From name to the file's content.

        Returns
        -------
        list of Card
            In the order of the pictures.

        Raises
        ------
        VisitError
            Where the page refuses them, or says that they could not be checked.
        TimeoutError
            Where the cards do not come in time.
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
        """Leave as the page does: its script asks the server to end the kernel, and the websocket breaks off."""
        # Voila never sets this cookie; the page's own script does, and Voila's hands it back.
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
        # Those that a browser would send there: some are for certain paths only.
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
        """Comm ids of the upload and of the cards, after every widget told its state as the page asks it to."""
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
        upload, cards = (
            [comm for comm, state in states.items() if trait in state]
            for trait in ("max_pictures", "explains")
        )
        if len(upload) != 1 or len(cards) != 1:
            raise VisitError(f"The page has {len(upload)} places to upload and {len(cards)} for cards.")
        self._send_to(cards[0], {"type": "hello"})
        next(message for message in self._messages() if message.sent.get("type") == "state")
        return upload[0], cards[0]

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
        """What comes, until nothing comes for too long."""
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
