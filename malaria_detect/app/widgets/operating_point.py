"""The operating point: one choice for the whole page, shown wherever decisions or scores stand."""

from typing import Any

import traitlets

from malaria_detect.app.widgets.base import Part, script
from malaria_detect.inference.metadata import ModelMetadata, OperatingPoint
from malaria_detect.metrics.formatting import format_percent, format_threshold_percent


class OperatingPointChoice(Part):
    """Choose from which probability on a cell is called parasitized.

    All its views show the same choice. Others look at it with ``choice.observe(callback, "chosen")``.

    Parameters
    ----------
    metadata : ModelMetadata
        Whose operating points there are to choose from; its default one is chosen at first.

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

    def __init__(self, metadata: ModelMetadata, **kwargs: Any) -> None:
        self._points = {point.name: point for point in metadata.operating_points}
        super().__init__(
            points=[_shown(point) for point in metadata.operating_points],
            chosen=metadata.default_point,
            **kwargs,
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
                f"There is no operating point {name!r}; there are {', '.join(self._points)}."
            )
        return name

    def _hear(self, _widget: object, content: dict[str, Any], _buffers: list[memoryview]) -> None:
        """A message from the browser: ``{"type": "choose", "name": ...}``."""
        name = content.get("name")
        if content.get("type") == "choose" and isinstance(name, str) and name in self._points:
            self.chosen = name
            self.send({"type": "chosen"})


def _shown(point: OperatingPoint) -> dict[str, str]:
    """What stands beside a choice, as plain texts."""
    sensitivity, specificity = (point.test.estimates[name].value for name in ("sensitivity", "specificity"))
    return {
        "name": point.name,
        "title": point.name.capitalize(),
        "threshold": format_threshold_percent(point.threshold),
        "rule": point.rule,
        "missed": format_percent(1 - sensitivity),
        "alarms": format_percent(1 - specificity),
    }
