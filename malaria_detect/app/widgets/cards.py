"""A card for each checked image, with summary, meaning for a slide, filter, progress and downloads."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import traitlets

from malaria_detect.app.widgets.base import Part, script
from malaria_detect.app.widgets.explanation import Shown
from malaria_detect.app.widgets.results import Result, results_csv, results_report
from malaria_detect.app.widgets.upload import UploadedFile
from malaria_detect.app.wording import (
    TAB,
    VERDICTS,
    caution,
    notes,
    slide_sentences,
    summary,
)
from malaria_detect.inference.metadata import ModelMetadata, OperatingPoint
from malaria_detect.inference.prediction import Refusal
from malaria_detect.metrics.formatting import format_probability, format_threshold_percent

CSV_NAME = "malaria_detect_results.csv"
REPORT_NAME = "malaria_detect_report.html"


class CellCards(Part):
    """The results in the order of upload, at one operating point.

    Names and images go to the browser as messages and never become widget state, so a saved notebook contains none of
    them. The kernel keeps them until they are cleared; a view that is opened later gets them again.

    Parameters
    ----------
    metadata : ModelMetadata
        The model's metadata.
    point : OperatingPoint, optional
        The first operating point; by default the one of the metadata.
    clear : callable, optional
        Called before the results are cleared.
    explain : callable, optional
        Explains a result; without it the cards have no button for that.
    in_threads : bool
        Explain in threads, so that a remote detector does not block the kernel's event loop.
    """

    _esm = script("explanation.js", "cards.js")
    explains = traitlets.Bool().tag(sync=True)

    def __init__(
        self,
        metadata: ModelMetadata,
        point: OperatingPoint | None = None,
        clear: Callable[[], None] | None = None,
        explain: Callable[[Result], Shown] | None = None,
        in_threads: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(explains=explain is not None, **kwargs)
        self.results: list[Result] = []
        self.point = point or metadata.point()
        self._metadata = metadata
        self._on_clear = clear
        self._explain = explain
        # Gets the file of a card that shows a whole field; without it the cards have no button for that.
        self.take_field: Callable[[UploadedFile], None] | None = None
        self._in_threads = in_threads
        self._explaining: set[asyncio.Task[None]] = set()
        self._first = 0
        self._state: dict[str, Any] = {}
        self.progress(0, 0)
        self.on_msg(self._hear)

    def add(self, result: Result) -> None:
        """Show one more result."""
        self.results.append(result.at(self.point))
        self._send_card(len(self.results) - 1)

    def decide(self, point: OperatingPoint) -> None:
        """Show all results at another operating point."""
        self.point = point
        self.results = [result.at(point) for result in self.results]
        self.send(
            {"type": "decided", "cards": [self._card(position) for position in range(len(self.results))]}
        )
        self.progress(self._state["done"], self._state["total"], self._state["problem"])

    def progress(self, done: int, total: int, problem: str = "") -> None:
        """Show how many images are checked; with ``done == total`` the summary is shown.

        Parameters
        ----------
        done, total : int
            Images of the current upload.
        problem : str
            An error message.
        """
        working = done < total
        answers = [result.answer for result in self.results]
        self._state = {
            "type": "state",
            "done": done,
            "total": total,
            "sentence": "Checking the images …" if working else summary(answers),
            "caution": caution(self.point),
            "slide": [] if working else slide_sentences(answers, self.point),
            "problem": problem,
        }
        self.send(self._state)

    def clear(self) -> None:
        """Remove all results, here and in the browser."""
        if self._on_clear is not None:
            self._on_clear()
        # Numbers are never reused, as a message about a cleared card may still arrive.
        self._first += len(self.results)
        self.results.clear()
        self.send({"type": "clear"})
        self.progress(0, 0)

    def _hear(self, _widget: object, content: dict[str, Any], _buffers: list[memoryview]) -> None:
        match content.get("type"):
            case "hello":
                for position in range(len(self.results)):
                    self._send_card(position)
                self.send(self._state)
            case "csv":
                self.send({"type": "csv", "text": results_csv(self.results), "name": CSV_NAME})
            case "report":
                report = results_report(self.results, self._metadata, self.point)
                self.send({"type": "report", "name": REPORT_NAME}, buffers=[report])
            case "explain":
                self._send_explanation(content.get("id"))
            case "field":
                result = self._shown(content.get("id"))
                if result is not None and result.may_be_field and self.take_field is not None:
                    self.take_field(UploadedFile(result.name, result.original))
            case "clear":
                self.clear()

    def _send_explanation(self, number: object) -> None:
        result = self._shown(number)
        if self._explain is None or result is None or not isinstance(number, int):
            return
        work = partial(self._explain, result)
        if self._in_threads:
            task = asyncio.get_running_loop().create_task(self._explain_later(number, work))
            self._explaining.add(task)
            task.add_done_callback(self._explaining.discard)
        else:
            self._show_explanation(number, self.point, work())

    def _shown(self, number: object) -> Result | None:
        """The result with this number; None if its card was cleared since its button was pressed."""
        shown = range(self._first, self._first + len(self.results))
        return self.results[number - self._first] if isinstance(number, int) and number in shown else None

    async def _explain_later(self, number: int, work: Callable[[], Shown]) -> None:
        point = self.point
        self._show_explanation(number, point, await asyncio.to_thread(work))

    def _show_explanation(self, number: int, point: OperatingPoint, explained: Shown) -> None:
        self.send(
            {"type": "explained", "id": number, "point": point.name, "sentence": explained.sentence},
            buffers=[explained.layer] if explained.layer else [],
        )

    def _send_card(self, position: int) -> None:
        picture = self.results[position].picture
        self.send({"type": "card", **self._card(position)}, buffers=[picture] if picture else [])

    def _card(self, position: int) -> dict[str, Any]:
        result = self.results[position]
        field = result.may_be_field and self.take_field is not None
        return {"id": self._first + position, "field": field, **card(result, self.point)}


def card(result: Result, point: OperatingPoint) -> dict[str, Any]:
    """The texts of a card, which the browser escapes.

    Parameters
    ----------
    result : Result
        At the operating point.
    point : OperatingPoint

    Returns
    -------
    dict
        ``kind`` is parasitized, uninfected or refused. ``bars`` has name, width in percent, text and exact value of
        each class. ``details`` has names and texts. ``agrees`` compares the decision with the published label, if
        there is one.
    """
    answer = result.answer
    common = {
        "name": result.name,
        "label": result.label,
        "uncertain": result.uncertain,
        "point": point.name,
    }
    if isinstance(answer, Refusal):
        return common | {
            "kind": "refused",
            "verdict": "Not checked",
            "bars": [],
            "notes": [answer.message],
            "details": [],
            "agrees": "",
        }
    width, height = answer.image_size
    return common | {
        "kind": answer.decision.lower(),
        "verdict": VERDICTS[answer.decision],
        "bars": [
            (name, round(100 * share, 2), format_probability(share), round(share, 6))
            for name, share in answer.probabilities.items()
        ],
        "notes": notes(answer, TAB),
        "details": [
            ("Image size", f"{width} × {height} px"),
            ("Operating point", f"{point.name} (threshold {format_threshold_percent(point.threshold)})"),
            ("Probability of parasitized", f"{answer.probability_parasitized:.6f}"),
            ("Before calibration", f"{answer.raw_probability_parasitized:.6f}"),
        ],
        "agrees": _agreement(answer.decision, result.label),
    }


def _agreement(decision: str, label: str | None) -> str:
    if label is None:
        return ""
    return "The model agrees." if decision == label else "The model disagrees. Labels can be wrong, too."
