"""Building blocks of the page: a styled widget, a column of widgets, and text written when it is needed."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from malaria_detect import plots
from malaria_detect.app.wording import scored_on
from malaria_detect.metrics import formatting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE = Path(__file__).parent / "style"
SCRIPTS = Path(__file__).parent / "scripts"
TEXTS = Path(__file__).parent / "texts"


def script(*names: str) -> str:
    """JavaScript of a widget: the functions that all widgets share, then the named files."""
    return "\n".join((SCRIPTS / file).read_text(encoding="utf-8") for file in ("dom.js", *names))


def as_references(parts: Sequence[anywidget.AnyWidget], _: object) -> list[str]:
    """References to other widgets, as anywidget's ``host.getWidget`` expects them."""
    return [f"anywidget:{part.model_id}" for part in parts]


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(TEXTS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals.update(
        {name: one for name, one in vars(formatting).items() if name.startswith("format_")}
    )
    templates.globals.update(
        format_four=partial(formatting.format_score, decimals=4),
        as_img=_image,
        scored_on=scored_on,
    )
    return templates


def _image(figure: "Figure", alt: str) -> str:
    return plots.as_img(figure, alt)  # loads matplotlib, which pages without a figure do not need


def render(template: str, **values: Any) -> str:
    """A template of the folder ``texts`` as HTML; values are escaped, and ``format_`` functions are at hand."""
    return _templates().get_template(template).render(values)


class Part(anywidget.AnyWidget):
    """A piece of the page, which can also be used alone in a notebook."""

    _css = STYLE / "page.css"

    def __repr__(self) -> str:
        """What is shown instead of the widget where it has no connection to its kernel."""
        return (
            "This part of the page needs JavaScript and a websocket to the server, which could not be opened."
        )


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
