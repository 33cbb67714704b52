"""What the tests of widgets share: a model that answers at once, and what the browser is sent."""

from typing import Any
from unittest.mock import Mock

import pytest
from ipywidgets import Widget

from tests.app.widgets.fakes import METADATA, BrightnessDetector, Messages


@pytest.fixture
def receiver() -> Mock:
    """Takes uploads; with another return value it refuses them."""
    return Mock(return_value=None)


@pytest.fixture
def detector() -> Any:
    """A BrightnessDetector, in place of a Detector."""
    return BrightnessDetector(METADATA)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Messages:
    """All messages that any widget sends to the browser, in their order; pictures under "buffers"."""
    messages: Messages = []

    def send(_: Widget, content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        messages.append(content | ({"buffers": buffers} if buffers else {}))

    monkeypatch.setattr(Widget, "send", send)
    return messages
