"""The operating point: one choice for the whole page, shown wherever decisions or scores stand."""

from typing import Any

import traitlets

from malaria_detect.passport import OperatingPoint, Passport
from malaria_detect.sentences import percent, threshold
from malaria_detect.widgets.parts import Part, script


class OperatingPointChoice(Part):
    """Choose from which probability on a cell is called parasitized.

    All its views show the same choice. Others look at it with ``choice.observe(callback, "chosen")``.

    Parameters
    ----------
    passport : Passport
        Whose operating points there are to choose from; its default one is chosen at first.

    Examples
    --------
    >>> from malaria_detect import read_passport
    >>> choice = OperatingPointChoice(read_passport("export.pkl"))
    >>> choice.chosen = "counting"
    >>> choice.point.name
    'counting'
    """

    _esm = script("points.js")
    points = traitlets.List(traitlets.Dict()).tag(sync=True)
    chosen = traitlets.Unicode().tag(sync=True)

    def __init__(self, passport: Passport, **kwargs: Any) -> None:
        self._points = {point.name: point for point in passport.operating_points}
        super().__init__(
            points=[_shown(point) for point in passport.operating_points],
            chosen=passport.default_point,
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
        "threshold": threshold(point),
        "rule": point.rule,
        "missed": percent(1 - sensitivity),
        "alarms": percent(1 - specificity),
    }
