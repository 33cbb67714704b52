"""Uploads as they come from the browser, without one."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from malaria_detect.app.widgets.upload import MAX_IMAGES, CellUpload
from malaria_detect.data.images import MAX_BYTES
from tests.app.widgets.fakes import Messages, hear, saved

PROJECT = Path(__file__).resolve().parents[3]


def test_files_arrive_in_the_order_in_which_they_were_chosen(receiver: Mock, told: Messages) -> None:
    widget = CellUpload(receiver)
    names = ["secret-b.png", "secret-a.png", "secret-a.png"]
    hear(widget, [b"secret 1", b"secret 2", b"secret 3"], type="upload", names=names)
    (files,) = receiver.call_args.args
    assert [one.name for one in files] == names
    assert [bytes(one.content) for one in files] == [b"secret 1", b"secret 2", b"secret 3"]
    assert told == [{"type": "taken"}]
    assert "secret" not in saved(widget)


@pytest.mark.parametrize("names", [["a.png"], None, "ab", ["a.png"] * (MAX_IMAGES + 1)])
def test_too_many_or_unnamed_files_are_refused_together(names: Any, receiver: Mock, told: Messages) -> None:
    sent = max(2, len(names or ""))
    hear(CellUpload(receiver), [b"1"] * sent, type="upload", names=names)
    receiver.assert_not_called()
    (refusal,) = told
    assert refusal["type"] == "refused"
    assert (f"{sent} images" in refusal["message"]) == (sent > MAX_IMAGES)


def test_the_receivers_refusal_is_shown(receiver: Mock, told: Messages) -> None:
    receiver.return_value = "Wait."
    hear(CellUpload(receiver), [b"1"], type="upload", names=["a.png"])
    assert told == [{"type": "refused", "message": "Wait."}]


def test_voila_lets_the_largest_upload_through_and_not_much_more() -> None:
    settings = json.loads((PROJECT / "voila.json").read_text(encoding="utf-8"))
    limit = settings["Voila"]["tornado_settings"]["websocket_max_message_size"]
    names_and_headers = 64 * 1024
    assert MAX_IMAGES * MAX_BYTES + names_and_headers < limit < 1.1 * MAX_IMAGES * MAX_BYTES
