"""Uploads as they come from the browser, without one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from malaria_detect.app.widgets.upload import MAX_IMAGES, CellUpload, UploadedFile
from malaria_detect.data.images import MAX_BYTES

PROJECT = Path(__file__).resolve().parents[3]


class Receiver:
    def __init__(self, answer: str | None = None) -> None:
        self.answer = answer
        self.uploads: list[UploadedFile] = []

    def __call__(self, uploads: Sequence[UploadedFile]) -> str | None:
        self.uploads.extend(uploads)
        return self.answer


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


def from_browser(widget: CellUpload, names: Any, contents: Sequence[bytes]) -> None:
    """What the comm hands on when the page has sent a batch."""
    message = {"type": "upload", "names": names}
    widget._handle_custom_msg(message, [memoryview(content) for content in contents])


def test_a_batch_arrives_in_the_order_in_which_it_was_chosen(
    receiver: Receiver, told: list[dict[str, Any]]
) -> None:
    from_browser(CellUpload(receiver), ["b.png", "a.png", "a.png"], [b"1", b"2", b"3"])
    assert [(one.name, bytes(one.content)) for one in receiver.uploads] == [
        ("b.png", b"1"),
        ("a.png", b"2"),
        ("a.png", b"3"),
    ]
    assert told == [{"type": "taken"}]


def test_too_many_pictures_are_refused_together_whatever_the_browser_let_through(
    receiver: Receiver, told: list[dict[str, Any]]
) -> None:
    from_browser(CellUpload(receiver), ["a.png"] * (MAX_IMAGES + 1), [b"1"] * (MAX_IMAGES + 1))
    assert receiver.uploads == []
    assert told == [
        {"type": "refused", "message": "21 images were sent; the limit is 20. Upload fewer at a time."}
    ]


@pytest.mark.parametrize("names", [["a.png"], None, "ab"])
def test_an_upload_whose_names_and_files_do_not_match_is_refused(
    names: Any, receiver: Receiver, told: list[dict[str, Any]]
) -> None:
    from_browser(CellUpload(receiver), names, [b"1", b"2"])
    assert receiver.uploads == []
    assert told == [{"type": "refused", "message": "The upload was incomplete. Try again."}]


def test_the_receivers_refusal_is_told(told: list[dict[str, Any]]) -> None:
    from_browser(CellUpload(Receiver("Wait.")), ["a.png"], [b"1"])
    assert told == [{"type": "refused", "message": "Wait."}]


def test_a_saved_notebook_would_hold_neither_pictures_nor_names(receiver: Receiver) -> None:
    widget = CellUpload(receiver)
    from_browser(widget, ["secret-name.png"], [b"secret-bytes"])
    assert "secret" not in json.dumps(widget.get_state(drop_defaults=False), default=str)


def test_voila_lets_the_largest_upload_through_and_not_much_more() -> None:
    settings = json.loads((PROJECT / "voila.json").read_text(encoding="utf-8"))
    limit = settings["Voila"]["tornado_settings"]["websocket_max_message_size"]
    pictures = MAX_IMAGES * MAX_BYTES
    names_and_headers = 64 * 1024
    assert pictures + names_and_headers < limit < 1.1 * pictures
