import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malaria_detect.app.server.kernel_frames import MESSAGE_TYPES, ForbiddenFrame, read_frame
from tests.app.server.attacker import frame, message


@pytest.mark.parametrize("kind", sorted(MESSAGE_TYPES))
def test_what_pages_say_is_let_through_byte_by_byte(kind: str) -> None:
    parts = message(kind, {"target_name": "jupyter.widget.control", "data": {}})
    read = read_frame(frame(parts))
    assert read.parts == parts
    assert read.message_id == json.loads(parts[0])["msg_id"]


@given(st.lists(st.binary(max_size=50), max_size=30))
def test_buffers_come_through_as_they_are(buffers: list[bytes]) -> None:
    parts = [*message("comm_msg", {}), *buffers]
    assert read_frame(frame(parts)).parts == parts


@given(st.binary(max_size=200))
def test_noise_is_unwanted_and_nothing_worse(data: bytes) -> None:
    with pytest.raises(ForbiddenFrame):
        read_frame(data)


@given(st.integers(0, 7), st.integers(0, 2**64 - 1))
def test_a_frame_whose_table_of_contents_is_changed_is_unwanted(place: int, number: int) -> None:
    parts = message("comm_msg", {})
    data = bytearray(frame(parts))
    changed = number.to_bytes(8, "little")
    if data[8 * place : 8 * place + 8] != changed:
        data[8 * place : 8 * place + 8] = changed
        try:
            read = read_frame(bytes(data))
        except ForbiddenFrame:
            return
        # Another border between two parts: then it is another message of the same bytes, and never more of them.
        assert sum(map(len, read.parts)) <= sum(map(len, parts))


@pytest.mark.parametrize(
    "target", [{}, {"target_name": "jupyter.widget"}, {"target_name": ["jupyter.widget.control"]}]
)
def test_a_page_opens_no_other_channel_than_that_of_its_widgets(target: dict[str, object]) -> None:
    with pytest.raises(ForbiddenFrame):
        read_frame(frame(message("comm_open", target)))
