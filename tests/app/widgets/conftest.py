"""What the tests of widgets share: a model that answers at once, and what the browser is sent."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from ipywidgets import Widget

from malaria_detect.data.nlm_cells import CELLS_VARIABLE
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
def no_cells(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cells folder, so no samples to try."""
    monkeypatch.setenv(CELLS_VARIABLE, str(tmp_path / "nowhere"))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Messages:
    """All messages that any widget sends to the browser, in their order; pictures under "buffers"."""
    messages: Messages = []

    def send(_: Widget, content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        messages.append(content | ({"buffers": buffers} if buffers else {}))

    monkeypatch.setattr(Widget, "send", send)
    return messages
