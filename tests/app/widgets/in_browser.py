"""A widget's script in Chromium and the widget in this process, with no server between them."""

import base64
from collections.abc import Sequence
from typing import Any

from playwright.sync_api import Page

from malaria_detect.app.widgets.base import Part
from malaria_detect.inference.metadata import RESEARCH_USE
from tests.app.widgets.fakes import Messages, hear

# What a widget's script gets from anywidget. The kernel's answers to a message are what `toKernel` returns.
MODEL = """
async ([script, style, state]) => {
  const heard = [];
  const bytes = (text) => new DataView(Uint8Array.from(atob(text), (one) => one.charCodeAt(0)).buffer);
  const model = {
    get: (name) => state[name],
    on: (name, hear) => { if (name === "msg:custom") heard.push(hear); },
    send: async (content) => {
      for (const { buffers, ...message } of await toKernel(content)) {
        for (const hear of heard) hear(message, buffers.map(bytes));
      }
    },
  };
  document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
  const { default: widget } = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
  widget.render({ model, el: document.body, signal: new AbortController().signal });
}
"""


def render(page: Page, widget: Part, told: Messages, **state: Any) -> Page:
    """Show a widget on a page; `state` are the traits that its script reads."""

    def answer(content: dict[str, Any]) -> Sequence[dict[str, Any]]:
        told.clear()
        hear(widget, **content)
        return [
            one | {"buffers": [base64.b64encode(each).decode() for each in one.get("buffers", ())]}
            for one in told
        ]

    page.expose_function("toKernel", answer)
    page.evaluate(MODEL, [widget._esm, widget._css, {"research_use": RESEARCH_USE} | state])
    return page
