"""A card for each picture that was checked, with summary, filter, progress, CSV and clear."""

from collections.abc import Callable
from typing import Any

from malaria_detect.detector import Refusal
from malaria_detect.widgets.parts import Part, script
from malaria_detect.widgets.results import SURE, VERDICTS, Result, percent, results_csv, summary

CSV_NAME = "malaria_detect_results.csv"


class CellCards(Part):
    """The results, in the order of upload.

    Names and pictures go to the browser as messages and never become widget state, so that a saved notebook does not
    hold them. The kernel keeps them until they are cleared: a view that is opened later gets them again.

    Parameters
    ----------
    caution : str
        One sentence that stands above the cards.
    clear : callable, optional
        Called when the visitor clears the cards, before they are forgotten.
    """

    _esm = script("cards.js")

    def __init__(self, caution: str = "", clear: Callable[[], None] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.results: list[Result] = []
        self._caution = caution
        self._on_clear = clear
        self._first = 0
        self._state: dict[str, Any] = {}
        self.progress(0, 0)
        self.on_msg(self._hear)

    def add(self, result: Result) -> None:
        """Show one more result."""
        self.results.append(result)
        self._send_card(len(self.results) - 1)

    def progress(self, done: int, total: int, problem: str = "") -> None:
        """Tell how far the work is; with ``done == total`` it is over and the summary stands.

        Parameters
        ----------
        done, total : int
            Pictures of this go.
        problem : str
            A sentence where something went wrong.
        """
        working = done < total
        self._state = {
            "type": "state",
            "done": done,
            "total": total,
            "sentence": "Checking the pictures …" if working else summary(self.results),
            "caution": self._caution,
            "problem": problem,
        }
        self.send(self._state)

    def clear(self) -> None:
        """Forget all results, here and in the browser."""
        if self._on_clear is not None:
            self._on_clear()
        # Numbers are never used twice: a card still on its way belongs to what was cleared.
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
            case "clear":
                self.clear()

    def _send_card(self, position: int) -> None:
        result = self.results[position]
        self.send(
            {"type": "card", "id": self._first + position, **card(result)},
            buffers=[result.picture] if result.picture else [],
        )


def card(result: Result) -> dict[str, Any]:
    """What stands on a card, as plain texts; the browser escapes them.

    Returns
    -------
    dict
        ``kind`` is parasitized, uninfected or refused; ``bars`` has name, width in per cent, text and exact value of
        each class; ``agrees`` compares the decision with the published label, where there is one.
    """
    answer = result.answer
    common = {"name": result.name, "label": result.label, "doubtful": result.doubtful}
    if isinstance(answer, Refusal):
        return common | {
            "kind": "refused",
            "verdict": "Not checked",
            "bars": [],
            "notes": [answer.reason],
            "size": "",
            "agrees": "",
        }
    width, height = answer.image_size
    notes = list(answer.warnings)
    if answer.decision != answer.label:
        aim = "to miss few cells" if answer.decision == "Parasitized" else "to give few false alarms"
        notes.insert(
            0,
            f"Called {answer.decision.lower()} though the other class is more probable, as the model is set {aim}: "
            "look at this cell yourself.",
        )
    elif result.doubtful:
        notes.insert(
            0, f"The model is less than {100 * SURE:.0f}\N{NO-BREAK SPACE}% sure: look at this cell yourself."
        )
    return common | {
        "kind": answer.decision.lower(),
        "verdict": VERDICTS[answer.decision],
        "bars": [
            (name, round(100 * share, 2), _likelihood(share), round(share, 6))
            for name, share in answer.probabilities.items()
        ],
        "notes": notes,
        "size": f"{width} × {height} px",
        "agrees": _agreement(answer.decision, result.label),
    }


def _likelihood(probability: float) -> str:
    """Per cent; a network is never quite certain, it is only rounded to 0 or 1."""
    return percent(min(max(probability, 1e-6), 1 - 1e-6))


def _agreement(decision: str, label: str | None) -> str:
    if label is None:
        return ""
    return (
        "The model says the same."
        if decision == label
        else "The model says otherwise. Labels can be wrong, too."
    )
