"""What the tests of widgets share: a model that answers at once, and what the browser is sent."""

from collections.abc import Sequence
from typing import Any

import pytest
from ipywidgets import Widget

from malaria_detect.app.widgets import UploadedFile
from malaria_detect.inference.metadata import ModelMetadata
from tests.app.widgets.fakes import BrightnessDetector, Messages, made_up_metadata


class Receiver:
    """Takes uploads; `answer` refuses them."""

    def __init__(self) -> None:
        self.answer: str | None = None
        self.uploads: list[UploadedFile] = []

    def __call__(self, uploads: Sequence[UploadedFile]) -> str | None:
        self.uploads.extend(uploads)
        return self.answer


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def metadata() -> ModelMetadata:
    return made_up_metadata()


@pytest.fixture
def detector(metadata: ModelMetadata) -> Any:
    """A BrightnessDetector, in place of a Detector."""
    return BrightnessDetector(metadata)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Messages:
    """All messages that any widget sends to the browser, in their order; pictures under "buffers"."""
    messages: Messages = []

    def send(_: Widget, content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        messages.append(content | ({"buffers": buffers} if buffers else {}))

    monkeypatch.setattr(Widget, "send", send)
    return messages
