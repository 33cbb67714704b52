"""What a browser may send to its kernel: the frames of the kernel websocket, read strictly.

Jupyter's own reader trusts a frame's table of contents: eight bytes make it loop until memory is full, and overlapping
parts multiply a message. Here a frame is what it says it is, or the websocket is closed.
"""

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from traitlets import Dict

PROTOCOL = "v1.kernel.websocket.jupyter.org"
# All that the page's widgets say. Nothing here runs code, answers a prompt or ends a kernel.
MESSAGE_TYPES = frozenset({"comm_close", "comm_info_request", "comm_msg", "comm_open", "kernel_info_request"})
# A browser asks this one for the widgets' states. "jupyter.widget" would make widgets of any class, any number of them.
COMM_TARGETS = frozenset({"jupyter.widget.control"})
CHANNEL = "shell"
# Header, parent's header, metadata, content; the rest are buffers, one for each picture.
_PARTS = 4
_MOST_PARTS = 256
_MOST_HEADER_BYTES = 16 * 1024
_MOST_OPENING_BYTES = 64 * 1024
_POLICY_VIOLATION = 1008
_TRY_LATER = 1013


class Unwanted(ValueError):  # noqa: N818 - says what the message is
    """A frame that no page of ours sends."""


@dataclass(frozen=True)
class Frame:
    """A message to a kernel.

    Attributes
    ----------
    message_id : str
    parts : list of bytes
        Header, parent's header, metadata, content, and buffers.
    """

    message_id: str
    parts: list[bytes]


def read_frame(data: str | bytes) -> Frame:
    """Take a frame of :data:`PROTOCOL` apart.

    Parameters
    ----------
    data : str or bytes
        As it came.

    Raises
    ------
    Unwanted
        Where it is malformed, or something else than what a page of ours sends.
    """
    parts = _parts(data)
    header = _json_object(parts[1], _MOST_HEADER_BYTES)
    message_id, kind = header.get("msg_id"), header.get("msg_type")
    if not isinstance(message_id, str) or not isinstance(kind, str):
        raise Unwanted("a header without id or type")
    if parts[0] != CHANNEL.encode():
        raise Unwanted("a channel that pages do not use")
    if kind not in MESSAGE_TYPES:
        raise Unwanted("a type of message that pages do not send")
    if kind == "comm_open":
        target = _json_object(parts[4], _MOST_OPENING_BYTES).get("target_name")
        if not isinstance(target, str) or target not in COMM_TARGETS:
            raise Unwanted("a comm that pages do not open")
    return Frame(message_id, parts[1:])


def _parts(data: str | bytes) -> list[bytes]:
    # The number of offsets, the offsets, the channel's name, the message's parts; all numbers have eight bytes.
    if isinstance(data, str):
        raise Unwanted("a frame of text")
    number = int.from_bytes(data[:8], "little")
    if not _PARTS + 2 <= number <= _MOST_PARTS:
        raise Unwanted("an impossible number of parts")
    table = 8 * (number + 1)
    offsets = [int.from_bytes(data[start : start + 8], "little") for start in range(8, table, 8)]
    if offsets[0] != table or offsets[-1] != len(data) or offsets != sorted(offsets):
        raise Unwanted("parts that overlap or leave gaps")
    return [data[start:stop] for start, stop in pairwise(offsets)]


def _json_object(data: bytes, most: int) -> dict[str, object]:
    if len(data) > most:
        raise Unwanted("a header that is too long")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unwanted("a part that is no JSON") from error
    if not isinstance(content, dict):
        raise Unwanted("a part that is no JSON object")
    return content


class PageConnection(ZMQChannelsWebsocketConnection):
    """Between a page's websocket and its kernel: lets through what :func:`read_frame` does, and only so much of it.

    Attributes
    ----------
    most_messages : int
        That the kernel has not answered yet.
    most_bytes : int
        Of these together.
    """

    most_messages = 1024
    most_bytes = 2 * 110_000_000
    # Bytes by message id.
    _unanswered = Dict()

    def handle_incoming_message(self, incoming_msg: str | bytes) -> None:
        """Send a message on to the kernel, or close the websocket."""
        if not self.channels:
            return
        try:
            frame = read_frame(incoming_msg)
            if frame.message_id in self._unanswered:
                raise Unwanted("a message's id again")
        except Unwanted as error:
            self.log.warning("Closed a kernel's websocket, which got %s.", error)
            self.websocket_handler.close(_POLICY_VIOLATION, "not allowed")
            return
        self._unanswered[frame.message_id] = len(incoming_msg)
        if len(self._unanswered) > self.most_messages or sum(self._unanswered.values()) > self.most_bytes:
            self.log.warning("Closed a kernel's websocket, which got more than the kernel can answer.")
            self.websocket_handler.close(_TRY_LATER, "too much at once")
            return
        self.session.send_raw(self.channels[CHANNEL], frame.parts)

    def handle_outgoing_message(self, stream: str, outgoing_msg: list[Any]) -> None:
        """Send a kernel's message on to the page, and note which of the page's is done."""
        parts: list[Any] = self.session.feed_identities(outgoing_msg)[1]
        # The signature stands first; a kernel says "idle" once it has answered.
        if b'"status"' in parts[1] and self.session.unpack(parts[4]).get("execution_state") == "idle":
            self._unanswered.pop(self.session.unpack(parts[2]).get("msg_id"), None)
        super().handle_outgoing_message(stream, outgoing_msg)
