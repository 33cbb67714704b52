"""Building blocks of the page: a styled widget, a column of widgets, and text written when it is needed."""

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


def script(*names: str) -> str:
    """JavaScript of a widget: the functions that all widgets share, then the named files."""
    return "\n".join((SCRIPTS / file).read_text(encoding="utf-8") for file in ("dom.js", *names))


def as_references(parts: Sequence[anywidget.AnyWidget], _: object) -> list[str]:
    """References to other widgets, as anywidget's ``host.getWidget`` expects them."""
    return [f"anywidget:{part.model_id}" for part in parts]


def figures(*drawn: tuple[str, Figure, str]) -> str:
    """Figures as HTML, each with its title above and a caption below that says how to read it.

    Parameters
    ----------
    drawn : (str, Figure, str)
        Title, figure and caption.
    """
    shown = "".join(
        f"<figure class='md-figure'><h3>{escape(title)}</h3>{as_img(drawing, f'{title}. {caption}')}"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for title, drawing, caption in drawn
    )
    return f"<div class='md-figures'>{shown}</div>"


def table(caption: str, head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """A table as HTML; on narrow pages each row becomes a block, in which the column names label the cells.

    Parameters
    ----------
    caption : str
        For screen readers.
    head : sequence of str
        Column names; the last one may be empty, for a column of prose without a label.
    rows : sequence of (str, sequence of str)
        Name of the row and its cells, as HTML.
    """
    # Explicit roles: laid out as blocks, a table would lose its meaning for screen readers.
    body = "".join(
        f"<tr role='row'><th scope='row' role='rowheader'>{name}</th>"
        + "".join(
            f"<td role='cell' data-name='{escape(column, quote=True)}'>{cell}</td>"
            if column
            else f"<td role='cell' class='md-reading'>{cell}</td>"
            for column, cell in zip(head[1:], cells, strict=True)
        )
        + "</tr>"
        for name, cells in rows
    )
    heads = "".join(f"<th scope='col'>{escape(column)}</th>" for column in head)
    return (
        f"<table class='md-table' role='table'><caption class='md-hidden'>{escape(caption)}</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    )


class Part(anywidget.AnyWidget):
    """A piece of the page, which can also be used alone in a notebook."""

    _css = STYLE / "page.css"


class Column(Part):
    """Widgets one below the other.

    Parameters
    ----------
    parts : sequence of Part
    """

    _esm = script("column.js")
    parts = traitlets.List(traitlets.Instance(Part)).tag(sync=True, to_json=as_references)

    def __init__(self, parts: Sequence[Part], **kwargs: Any) -> None:
        super().__init__(parts=list(parts), **kwargs)


class Text(Part):
    """Text and figures as HTML.

    Parameters
    ----------
    write : callable
        Returns the HTML. It must escape everything that is not markup.
    title : str
        With a title, the text is folded and its title can be clicked to unfold it.
    at_once : bool
        Write the text now. Otherwise it is written when it is first seen, as figures take time and memory.
    """

    _esm = script("text.js")
    title = traitlets.Unicode().tag(sync=True)
    html = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, write: Callable[[], str], title: str = "", at_once: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(title=title, **kwargs)
        self._write = write
        self._at_once = at_once
        self.on_msg(self._hear)
        self.renew()

    def renew(self) -> None:
        """Write the text again, now or when it is next seen."""
        self.html = self._write() if self._at_once else ""

    def _hear(self, _widget: object, content: dict[str, Any], _buffers: list[memoryview]) -> None:
        if content.get("type") == "show" and not self.html:
            self.html = self._write()
