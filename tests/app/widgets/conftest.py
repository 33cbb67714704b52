"""What the widgets' own tests share: a model that answers at once, and an ear for what the browser is told."""

from typing import Any

import pytest
from ipywidgets import Widget

from malaria_detect.inference.metadata import ModelMetadata
from tests.app.widgets.fakes import BrightnessDetector, made_up_metadata


@pytest.fixture
def metadata() -> ModelMetadata:
    return made_up_metadata()


@pytest.fixture
def detector(metadata: ModelMetadata) -> BrightnessDetector:
    return BrightnessDetector(metadata)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """All messages that any widget sends to the browser, in their order; pictures under "buffers"."""
    messages: list[dict[str, Any]] = []

    def send(_: Widget, content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        messages.append(content | ({"buffers": buffers} if buffers else {}))

    monkeypatch.setattr(Widget, "send", send)
    return messages
