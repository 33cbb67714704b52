"""The label review: doubted labels side by side, and a verdict on each of them."""

import io
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import traitlets
from PIL import Image

from malaria_detect.app.widgets.base import STYLE, Part, script
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.data.corrections import (
    AGREE,
    DISAGREE,
    UNSURE,
    VERDICTS,
    Correction,
    LabelsError,
    change_verdict,
    read_corrections,
)
from malaria_detect.data.images import ImageRefused, read_image
from malaria_detect.data.nlm_cells import CLASSES, Cell
from malaria_detect.evaluation.label_issues import CandidateError
from malaria_detect.inference.metadata import RESEARCH_USE
from malaria_detect.metrics.formatting import format_probability

PAGE = 12
SHOWN_SIDE = 480  # px; a cell takes about 300 px of the page, on screens with up to two pixels for one


class LabelReview(Part):
    """Look at doubted labels, a page of cells at a time, and say of each whether the label holds.

    Blind, as it opens, the review shows cells only and asks what they show; class, patient, file name and the networks'
    opinion come with the answer. Who knows a label or an opinion beforehand tends to follow it, and the patients'
    names tell healthy from infected ones. Not blind, it shows all of it and asks whether the label holds. The verdict
    that is kept means the same: agree, disagree or unsure, about the published label.

    Every verdict is in the corrections file at once, and the review goes on where the file stops. Pictures, names and
    labels go to the browser as messages, those of the page that is shown, and never become widget state.

    Parameters
    ----------
    candidates : sequence of CandidateError
        In the order in which they are to be judged, such as :func:`malaria_detect.evaluation.label_issues.mixed`
        gives. Those without a picture among `cells` are left out.
    cells : sequence of Cell
    corrections : path
        The corrections file; verdicts on other cells stay in it.
    blind : bool
    page : int
        Cells on a page, 1 or more.

    Raises
    ------
    MalariaDetectError
        Where no candidate has a picture, or the corrections file cannot be read or is about other labels.

    Examples
    --------
    >>> from malaria_detect.data.nlm_cells import find_cells
    >>> from malaria_detect.evaluation.label_issues import mixed, candidates_from
    >>> review = LabelReview(mixed(candidates_from())[:300], find_cells().cells)  # doctest: +SKIP
    """

    _esm = script("review.js")
    # A text, as there are two files.
    _css = "\n".join((STYLE / name).read_text(encoding="utf-8") for name in ("page.css", "review.css"))  # type: ignore[assignment]
    research_use = traitlets.Unicode(RESEARCH_USE).tag(sync=True)
    blind = traitlets.Bool(True).tag(sync=True)

    def __init__(
        self,
        candidates: Sequence[CandidateError],
        cells: Sequence[Cell],
        corrections: str | os.PathLike[str] = "corrections.csv",
        blind: bool = True,
        page: int = PAGE,
        **kwargs: Any,
    ) -> None:
        if page < 1:
            raise LabelsError(f"A page of {page} cells was asked for; wanted is 1 or more.")
        self._pictures = {(cell.path.name, cell.label): cell.path for cell in cells}
        self.candidates = tuple(one for one in candidates if (one.file, one.label) in self._pictures)
        if not self.candidates:
            raise LabelsError(
                f"None of the {len(candidates)} candidates has a picture among the {len(self._pictures)} cells: "
                "name the folder of the cells that were ranked."
            )
        self.missing = len(candidates) - len(self.candidates)
        self.path = Path(corrections)
        self._size = page
        self._given: list[tuple[int, Correction | None]] = []
        self._known: dict[str, Correction] = {}
        self._problem = ""
        self._read()
        self.page = next((at for at in range(len(self.candidates)) if self.verdict(at) is None), 0) // page
        super().__init__(blind=blind, **kwargs)
        self.on_msg(self._hear)
        self.observe(lambda _: self.show(self.page), names="blind")

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return -(-len(self.candidates) // self._size)

    def verdict(self, position: int) -> str | None:
        """What was said about the candidate at this position, counted from 0; None where nothing was."""
        known = self._known.get(self.candidates[position].file)
        return known.verdict if known else None

    def judge(self, position: int, answer: str) -> None:
        """Write down what somebody says about a candidate; what hinders it is told in the browser.

        Parameters
        ----------
        position : int
            In `candidates`, from 0.
        answer : str
            ``agree``, ``disagree`` or ``unsure`` about the published label; or the class that the cell shows.
        """
        candidate = self.candidates[position]
        if answer in CLASSES:
            answer = AGREE if answer == candidate.label else DISAGREE
        old, new = self._known.get(candidate.file), Correction(candidate.file, candidate.label, answer)
        if new != old and self._change(position, new):
            self._given.append((position, old))
        self._tell_card(position)
        self._tell()

    def undo(self) -> None:
        """Take back the last verdict of this session; an earlier one on the same cell holds again."""
        if not self._given:
            return
        position, before = self._given[-1]
        if self._change(position, before):
            self._given.pop()
        if position // self._size == self.page:
            self._tell_card(position)
            self._tell()
        else:
            self.show(position // self._size)

    def show(self, page: int) -> None:
        """Show a page, counted from 0. The corrections file is read anew, as others may write to it, too."""
        self.page = min(max(page, 0), self.pages - 1)
        try:
            self._read()
        except MalariaDetectError as error:
            self._problem = str(error)
        cards, pictures = [], []
        start = self.page * self._size
        for position in range(start, min(start + self._size, len(self.candidates))):
            candidate, refusal = self.candidates[position], ""
            try:
                pictures.append(_png(self._pictures[candidate.file, candidate.label]))
            except ImageRefused as error:
                refusal = str(error)
            cards.append(self._card(position) | {"refusal": refusal})
        self.send({"type": "page", "cards": cards, "page": self.page, "pages": self.pages}, buffers=pictures)
        self._tell()

    def _hear(self, _widget: object, content: dict[str, Any], _buffers: list[memoryview]) -> None:
        match content:
            case {"type": "hello"}:
                self.show(self.page)
            case {"type": "page", "page": int(page)}:
                self.show(page)
            case {"type": "verdict", "position": int(position), "answer": str(answer)}:
                if 0 <= position < len(self.candidates) and answer in (*VERDICTS, *CLASSES):
                    self.judge(position, answer)
            case {"type": "undo"}:
                self.undo()

    def _read(self) -> None:
        known = read_corrections(self.path).by_file() if self.path.exists() else {}
        for one in self.candidates:
            if one.file in known and known[one.file].label != one.label:
                raise LabelsError(
                    f"{self.path} is about other labels: {one.file} is {known[one.file].label} there and "
                    f"{one.label} among the candidates."
                )
        self._known = known

    def _change(self, position: int, verdict: Correction | None) -> bool:
        file = self.candidates[position].file
        try:
            self._known = change_verdict(self.path, file, verdict, self._known.get(file)).by_file()
        except MalariaDetectError as error:
            self._problem = f"Not saved. {error}"
            with suppress(MalariaDetectError):
                self._read()
            return False
        return True

    def _card(self, position: int) -> dict[str, Any]:
        """What the browser may know of a candidate: nothing but its place, while it is to be judged blind."""
        candidate = self.candidates[position]
        known = self._known.get(candidate.file)
        card: dict[str, Any] = {"position": position, "verdict": "", "shows": "", "facts": []}
        if known is not None:
            card |= {"verdict": known.verdict, "shows": known.corrected or UNSURE}
        if known is not None or not self.blind:
            card["facts"] = [
                ("Published", candidate.label),
                ("Believed", format_probability(candidate.believed)),
                ("Patient", candidate.patient_group),
                ("File", candidate.file),
            ]
        return card

    def _tell_card(self, position: int) -> None:
        self.send({"type": "card", "card": self._card(position)})

    def _tell(self) -> None:
        """The sentence above the cards, and the problem that has just come up."""
        times = Counter(self._known[one.file].verdict for one in self.candidates if one.file in self._known)
        said = ", ".join(f"{verdict} {times[verdict]:,}" for verdict in VERDICTS)
        sentence = f"{times.total():,} of {len(self.candidates):,} judged: {said}."
        if self.missing:
            sentence += f" {self.missing:,} candidates have no picture in the folder and are left out."
        self.send(
            {
                "type": "state",
                "sentence": sentence,
                "saved": f"Saved in {self.path} with every verdict.",
                "done": times.total(),
                "total": len(self.candidates),
                "undo": bool(self._given),
                "problem": self._problem,
            }
        )
        self._problem = ""


def _png(path: Path) -> bytes:
    """The picture as PNG, enlarged or made smaller to `SHOWN_SIDE`: browsers enlarge with less care."""
    image = read_image(path)
    scale = SHOWN_SIDE / max(image.size)
    shown = image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.LANCZOS
    )
    file = io.BytesIO()
    shown.save(file, "PNG", compress_level=3)
    return file.getvalue()
