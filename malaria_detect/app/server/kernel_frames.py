"""Strict reader for the frames that a browser sends to its kernel.

Jupyter's reader trusts the table of contents of a frame: eight bytes can make it loop until memory is full, and
overlapping parts multiply the size of a message. Here an invalid frame closes the websocket.
"""

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from traitlets import Dict

PROTOCOL = "v1.kernel.websocket.jupyter.org"
# All that the page's widgets send. None of these runs code, answers a prompt or ends a kernel.
MESSAGE_TYPES = frozenset({"comm_close", "comm_info_request", "comm_msg", "comm_open", "kernel_info_request"})
# Asked for the widgets' states. The target "jupyter.widget" would create any number of widgets of any class.
COMM_TARGETS = frozenset({"jupyter.widget.control"})
CHANNEL = "shell"
# Header, parent header, metadata, content; the rest are buffers, one per image.
_PARTS = 4
_MOST_PARTS = 256
_MOST_HEADER_BYTES = 16 * 1024
_MOST_OPENING_BYTES = 64 * 1024
_POLICY_VIOLATION = 1008
_TRY_LATER = 1013


class ForbiddenFrame(ValueError):  # noqa: N818 - names the frame
    """A frame that the page never sends."""


@dataclass(frozen=True)
class Frame:
    """A message to a kernel.

    Attributes
    ----------
    message_id : str
    parts : list of bytes
        Header, parent header, metadata, content, and buffers.
    """

    message_id: str
    parts: list[bytes]


def read_frame(data: str | bytes) -> Frame:
    """Parse a frame of :data:`PROTOCOL`.

    Parameters
    ----------
    data : str or bytes
        The frame as received.

    Raises
    ------
    ForbiddenFrame
        If the frame is malformed, or not one that the page sends.
    """
    parts = _parts(data)
    header = _json_object(parts[1], _MOST_HEADER_BYTES)
    message_id, kind = header.get("msg_id"), header.get("msg_type")
    if not isinstance(message_id, str) or not isinstance(kind, str):
        raise ForbiddenFrame("a header without id or type")
    if parts[0] != CHANNEL.encode():
        raise ForbiddenFrame("a channel that the page does not use")
    if kind not in MESSAGE_TYPES:
        raise ForbiddenFrame("a message type that the page does not send")
    if kind == "comm_open":
        target = _json_object(parts[4], _MOST_OPENING_BYTES).get("target_name")
        if not isinstance(target, str) or target not in COMM_TARGETS:
            raise ForbiddenFrame("a comm that the page does not open")
    return Frame(message_id, parts[1:])


def _parts(data: str | bytes) -> list[bytes]:
    # Number of offsets, offsets, channel name, parts of the message; all numbers have eight bytes.
    if isinstance(data, str):
        raise ForbiddenFrame("a frame of text")
    number = int.from_bytes(data[:8], "little")
    if not _PARTS + 2 <= number <= _MOST_PARTS:
        raise ForbiddenFrame("an impossible number of parts")
    table = 8 * (number + 1)
    offsets = [int.from_bytes(data[start : start + 8], "little") for start in range(8, table, 8)]
    if offsets[0] != table or offsets[-1] != len(data) or offsets != sorted(offsets):
        raise ForbiddenFrame("parts that overlap or leave gaps")
    return [data[start:stop] for start, stop in pairwise(offsets)]


def _json_object(data: bytes, most: int) -> dict[str, object]:
    if len(data) > most:
        raise ForbiddenFrame("a header that is too long")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ForbiddenFrame("a part that is not JSON") from error
    if not isinstance(content, dict):
        raise ForbiddenFrame("a part that is not a JSON object")
    return content


class PageConnection(ZMQChannelsWebsocketConnection):
    """Connection between a page's websocket and its kernel, which limits what the page may send.

    Attributes
    ----------
    most_messages : int
        Messages that the kernel has not answered yet.
    most_bytes : int
        Size of these messages together.
    """

    most_messages = 1024
    most_bytes = 2 * 110_000_000
    # Bytes by message id.
    _unanswered = Dict()

    def handle_incoming_message(self, incoming_msg: str | bytes) -> None:
        """Send a message to the kernel, or close the websocket if it is not allowed."""
        if not self.channels:
            return
        try:
            frame = read_frame(incoming_msg)
            if frame.message_id in self._unanswered:
                raise ForbiddenFrame("a message id twice")
        except ForbiddenFrame as error:
            self.log.warning("Closed a kernel's websocket: received %s.", error)
            self.websocket_handler.close(_POLICY_VIOLATION, "not allowed")
            return
        self._unanswered[frame.message_id] = len(incoming_msg)
        if len(self._unanswered) > self.most_messages or sum(self._unanswered.values()) > self.most_bytes:
            self.log.warning("Closed a kernel's websocket: more messages than the kernel can answer.")
            self.websocket_handler.close(_TRY_LATER, "too much at once")
            return
        self.session.send_raw(self.channels[CHANNEL], frame.parts)

    def handle_outgoing_message(self, stream: str, outgoing_msg: list[Any]) -> None:
        """Send a kernel's message to the page, and note which of the page's messages is answered."""
        parts: list[Any] = self.session.feed_identities(outgoing_msg)[1]
        # The signature comes first. A kernel reports "idle" once it has answered a message.
        if b'"status"' in parts[1] and self.session.unpack(parts[4]).get("execution_state") == "idle":
            self._unanswered.pop(self.session.unpack(parts[2]).get("msg_id"), None)
        super().handle_outgoing_message(stream, outgoing_msg)
