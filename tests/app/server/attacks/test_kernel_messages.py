"""Attacks on a visitor's own kernel: what its websocket lets through, and how much of it."""

import json
import struct
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from tests.app.server.attacker import (
    Visitor,
    ask_kernel,
    closing_code,
    frame,
    message,
    process_of,
    read_on,
    visit,
)
from tests.browser.served import PROJECT, Server

CHANNELS = ("shell", "control", "stdin", "iopub", "", "shell\0", "SHELL")


def execute_request(code: str) -> list[bytes]:
    flags = {"silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": True}
    return message("execute_request", {"code": code, **flags})


def write_to(proof: Path) -> str:
    return f"open({str(proof)!r}, 'w').close()"


def attempts(code: str) -> dict[str, bytes]:
    """Messages that would have a kernel run code if they were let through."""
    header, *rest = execute_request(code)
    kind, harmless = b'"msg_type": "execute_request"', b'"msg_type": "comm_msg"'
    assert kind in header
    headers = {
        "twice, the bad one last": header.replace(kind, harmless + b", " + kind),
        "escaped": header.replace(b"execute_request", b"execute\\u005frequest"),
        "other case": header.replace(b"execute_request", b"Execute_Request"),
        "with blanks": header.replace(b"execute_request", b" execute_request"),
        "with NUL": header.replace(b"execute_request", b"comm_msg\\u0000execute_request"),
        "in a list": header.replace(kind, b'"msg_type": ["comm_msg", "execute_request"]'),
        "in an object": header.replace(kind, b'"msg_type": {"comm_msg": "execute_request"}'),
        "missing": header.replace(kind, b'"type": "execute_request"'),
        "in a list of headers": b"[" + header + b"]",
        "in UTF-16": header.decode().encode("utf-16"),
        "after a byte order mark": b"\xef\xbb\xbf" + header,
        "in front of more": header + b"{}",
        "nested too deep": b'{"msg_type":' * 10_000,
    }
    return {
        **{
            f"{other.decode()} on {channel!r}": frame(
                [header.replace(b"execute_request", other), *rest], channel
            )
            for other in (b"execute_request", b"debug_request", b"input_reply", b"shutdown_request")
            for channel in CHANNELS
        },
        **{way: frame([changed, *rest]) for way, changed in headers.items()},
    }


@pytest.mark.parametrize("way", attempts(""))
def test_code_is_not_run(visitor: Visitor, connection: ClientConnection, tmp_path: Path, way: str) -> None:
    proof = tmp_path / "hacked"
    with visitor.socket() as attack:
        attack.send(attempts(write_to(proof))[way])
        assert closing_code(attack) == 1008
    ask_kernel(connection)  # after which the kernel would have run it
    assert not proof.exists()


def test_code_in_a_second_message_behind_the_first_is_taken_for_a_buffer(
    visitor: Visitor, tmp_path: Path
) -> None:
    proof = tmp_path / "hacked"
    harmless = message("comm_msg", {"comm_id": "none", "data": {}})
    with visitor.socket() as attack:
        attack.send(frame([*harmless, b"<IDS|MSG>", b"", *execute_request(write_to(proof))]))
        ask_kernel(attack)
    assert not proof.exists()


@pytest.mark.parametrize("protocol", [None, "v0.kernel.websocket.jupyter.org"])
def test_the_older_protocol_is_not_spoken(visitor: Visitor, protocol: str | None) -> None:
    with pytest.raises(InvalidStatus, match="400"):
        visitor.socket(protocol=protocol)


def widget(target: str) -> bytes:
    state = {"_model_module": "@jupyter-widgets/controls", "_model_name": "TextModel"}
    return frame(message("comm_open", {"comm_id": "mine", "target_name": target, "data": {"state": state}}))


def overlapping() -> bytes:
    # Every second part is the whole message: a few megabytes would become gigabytes.
    number = 250
    table = 8 * (number + 1)
    size = table + 2**16
    offsets = [table if index % 2 else size for index in range(number)]
    return b"".join(value.to_bytes(8, "little") for value in (number, *offsets)) + bytes(2**16)


COMM = message("comm_msg", {})
FORBIDDEN: dict[str, bytes | str] = {
    "widget": widget("jupyter.widget"),
    "widget of no kind": widget(""),
    "nothing": b"",
    "zeros": b"\0" * 8,
    # Jupyter's reader counts to this number, filling a list.
    "2**62 parts": (2**62).to_bytes(8, "little"),
    "-1 parts": struct.pack("<q", -1),
    "six parts that do not come": (6).to_bytes(8, "little"),
    "overlapping parts": overlapping(),
    "too few parts": frame(COMM[:3]),
    "a byte missing": frame(COMM)[:-1],
    "more at the end": frame(COMM) + b"more",
    "too many parts": frame([*COMM, *[b"x"] * 1000]),
    "a header that is not JSON": frame([b"no JSON", *COMM[1:]]),
    "a long header": frame([b" " * 2**20, *COMM[1:]]),
    "another byte order": struct.pack("!i", 2**31 - 1),
    "text": '{"channel": "shell", "header": {"msg_type": "comm_msg", "msg_id": "1"}, "content": {}}',
}


@pytest.mark.parametrize("data", FORBIDDEN.values(), ids=FORBIDDEN)
def test_forbidden_and_malformed_messages_close_their_websocket(visitor: Visitor, data: bytes | str) -> None:
    with visitor.socket() as attack:
        attack.send(data)
        assert closing_code(attack) == 1008


def test_a_message_over_the_limit_closes_its_websocket_before_it_is_sent(visitor: Visitor) -> None:
    limit = json.loads((PROJECT / "voila.json").read_text(encoding="utf-8"))["Voila"]["tornado_settings"]
    with visitor.socket() as attack:
        # The head of a frame that announces one byte too many; the rest need not come.
        size = limit["websocket_max_message_size"] + 1
        attack.socket.sendall(b"\x82\xff" + struct.pack("!Q", size) + b"mask" + bytes(1000))
        assert closing_code(attack) == 1009


@pytest.mark.parametrize(
    "data",
    [
        b"\x82\x04abcd",  # without the mask that clients must use
        b"\xf2\x84maskabcd",  # reserved bits
        b"\x83\x84maskabcd",  # an opcode that does not exist
        b"\x80\x84maskabcd",  # continues nothing
        b"\x89\xfe\x01\x00mask" + bytes(256),  # a ping that is too long
        b"\x09\x84maskabcd",  # a ping in pieces
        b"\x82\xff" + b"\xff" * 8 + b"mask",  # 2**64 - 1 bytes
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=lambda data: data[:4].hex(),
)
def test_malformed_frames_end_their_connection(visitor: Visitor, data: bytes) -> None:
    with visitor.socket() as attack:
        attack.socket.sendall(data)
        with pytest.raises(ConnectionClosed):
            read_on(attack)


def test_no_more_is_taken_than_the_kernel_answers(port: int, server: Server) -> None:
    def flood(connection: ClientConnection) -> None:
        for _ in range(100_000):
            connection.send(frame(message("comm_info_request", {})))

    flooding = visit(port)
    with flooding.socket() as attack:
        ask_kernel(attack)
        kernel = process_of(server.process, flooding.kernel_id)
        kernel.suspend()
        try:
            with pytest.raises(ConnectionClosed) as closed:
                flood(attack)
        finally:
            kernel.resume()
    assert closed.value.rcvd
    assert closed.value.rcvd.code == 1013
    assert flooding.leave().status == 204


def test_a_visitor_opens_few_websockets(visitor: Visitor) -> None:
    with ExitStack() as opened:
        # One is open all the time.
        for _ in range(3):
            opened.enter_context(visitor.socket())
        with pytest.raises(InvalidStatus, match="429"):
            visitor.socket()
