"""What the page's parts are made of: a widget with the page's style, a column of parts, text made when looked at."""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import traitlets
from matplotlib.figure import Figure

from malaria_detect.plots import as_img

STYLE = Path(__file__).parent / "style"
SCRIPTS = Path(__file__).parent / "scripts"


def script(name: str) -> str:
    """A part's script, after the few functions that all of them use."""
    return "\n".join((SCRIPTS / file).read_text(encoding="utf-8") for file in ("dom.js", name))


def as_references(parts: Sequence[anywidget.AnyWidget], _: object) -> list[str]:
    """How anywidget's ``host.getWidget`` wants to be told of other widgets."""
    return [f"anywidget:{part.model_id}" for part in parts]


def figure(title: str, drawing: Figure, sentence: str) -> str:
    """A drawing as HTML, under its title and over the sentence that says how to read it."""
    image = as_img(drawing, f"{title}. {sentence}")
    caption = f"<figcaption>{escape(sentence)}</figcaption>"
    return f"<figure class='md-figure'><h3>{escape(title)}</h3>{image}{caption}</figure>"


class Part(anywidget.AnyWidget):
    """A piece of the page; usable alone in any notebook."""

    _css = STYLE / "page.css"


class Column(Part):
    """Parts one below the other.

    Parameters
    ----------
    parts : sequence of Part
    """

    _esm = script("column.js")
    parts = traitlets.List(traitlets.Instance(Part)).tag(sync=True, to_json=as_references)

    def __init__(self, parts: Sequence[Part], **kwargs: Any) -> None:
        super().__init__(parts=list(parts), **kwargs)


class Text(Part):
    """Text and figures that are made when somebody first looks at them.

    Figures cost time and memory, and most visitors never look at them. They are sent as a message and never become
    widget state.

    Parameters
    ----------
    write : callable
        Gives the HTML, with everything escaped that is not markup. Called once, at the first look, and once more at
        the first look after every :meth:`renew`.
    """

    _esm = script("text.js")

    def __init__(self, write: Callable[[], str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._write = write
        self._html: str | None = None
        self.on_msg(self._answer)

    @property
    def html(self) -> str:
        """The text, as the browser gets it."""
        if self._html is None:
            self._html = self._write()
        return self._html

    def renew(self) -> None:
        """Have the text written anew when it is next looked at, because what it tells has changed."""
        self._html = None
        self.send({"type": "stale"})

    def _answer(self, _widget: object, content: dict[str, Any], _buffers: list[memoryview]) -> None:
        if content.get("type") == "show":
            self.send({"type": "html", "html": self.html})
