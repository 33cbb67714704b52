"""Choice of the operating point, shared by everything on the page that shows decisions or scores."""

from typing import Any

import traitlets

from malaria_detect.app.widgets.base import Part, script
from malaria_detect.app.wording import purpose, scored_on
from malaria_detect.inference.metadata import ModelMetadata, OperatingPoint
from malaria_detect.metrics.formatting import format_percent, format_threshold_percent


class OperatingPointChoice(Part):
    """Choice of the probability from which a cell is called parasitized.

    All views of it show the same choice. Use ``choice.observe(callback, "chosen")`` to follow it.

    Parameters
    ----------
    metadata : ModelMetadata
        The model's metadata, with its operating points; the default one is chosen first.

    Examples
    --------
    >>> from malaria_detect import read_metadata
    >>> choice = OperatingPointChoice(read_metadata("export.pkl"))
    >>> choice.chosen = "counting"
    >>> choice.point.name
    'counting'
    """

    _esm = script("points.js")
    points = traitlets.List(traitlets.Dict()).tag(sync=True)
    chosen = traitlets.Unicode().tag(sync=True)
    about = traitlets.Unicode().tag(sync=True)

    def __init__(self, metadata: ModelMetadata, **kwargs: Any) -> None:
        self._points = {point.name: point for point in metadata.operating_points}
        super().__init__(
            points=[_shown(point) for point in metadata.operating_points],
            **{"chosen": metadata.default_point, "about": _about(metadata)} | kwargs,
        )
        self.on_msg(self._hear)

    @property
    def point(self) -> OperatingPoint:
        """The chosen operating point."""
        return self._points[self.chosen]

    @traitlets.validate("chosen")
    def _known(self, proposal: dict[str, Any]) -> str:
        name: str = proposal["value"]
        if name not in self._points:
            raise traitlets.TraitError(
                f"There is no operating point {name!r}. Choose one of {', '.join(self._points)}."
            )
        return name

    def _hear(self, _widget: object, content: dict[str, Any], _buffers: list[memoryview]) -> None:
        name = content.get("name")
        if content.get("type") == "choose" and isinstance(name, str) and name in self._points:
            self.chosen = name
            self.send({"type": "chosen"})


def _about(metadata: ModelMetadata) -> str:
    return (
        "A cell is called parasitized if its probability is at least the threshold. The error rates are those on cells "
        f"of {scored_on(metadata.point())}."
    )


def _shown(point: OperatingPoint) -> dict[str, str]:
    """Texts of one choice."""
    sensitivity, specificity = (point.test.estimates[name].value for name in ("sensitivity", "specificity"))
    return {
        "name": point.name,
        "title": point.name.capitalize(),
        "threshold": format_threshold_percent(point.threshold),
        "purpose": purpose(point),
        "missed": format_percent(1 - sensitivity),
        "alarms": format_percent(1 - specificity),
    }
