"""What the widgets' own tests share: a model that answers at once, and an ear for what the browser is told."""

from typing import Any

import pytest
from ipywidgets import Widget

from malaria_detect.passport import Passport
from tests.widgets.fakes import BrightnessDetector, made_up_passport


@pytest.fixture
def passport() -> Passport:
    return made_up_passport()


@pytest.fixture
def detector(passport: Passport) -> BrightnessDetector:
    return BrightnessDetector(passport)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """All messages that any widget sends to the browser, in their order; pictures under "buffers"."""
    messages: list[dict[str, Any]] = []

    def send(_: Widget, content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        messages.append(content | ({"buffers": buffers} if buffers else {}))

    monkeypatch.setattr(Widget, "send", send)
    return messages
